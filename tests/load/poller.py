"""A worker process of the load test; `python -m tests.load.supervisor` starts several."""

from coatcheck.types import handlers
from tests.load.doors import Faulty
from tests.load.work import work
from worker.poller import main

if __name__ == "__main__":
    main(handlers(work), Faulty)
