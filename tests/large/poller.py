"""A worker process with the handlers of the large files, as `python -m coatcheck_worker` starts several."""

from coatcheck_worker.supervisor.poller import main
from tests.large.job_types import CATALOG

if __name__ == "__main__":
    main(CATALOG)
