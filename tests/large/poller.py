"""A worker process with the handlers of the large files, as `python -m worker` starts several."""

from tests.large.work import HANDLERS
from worker.poller import main

if __name__ == "__main__":
    main(HANDLERS)
