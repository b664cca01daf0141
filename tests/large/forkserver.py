"""`python -m coatcheck_worker.runner.forkserver`, with the handlers of the large files."""

from coatcheck_worker.runner.forkserver import main
from tests.large.job_types import CATALOG

if __name__ == "__main__":
    main(CATALOG)
