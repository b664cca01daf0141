"""`python -m coatcheck_worker.runner.forkserver`, with the handler of the load test."""

from coatcheck_worker.runner.forkserver import main
from tests.load.job_type import CATALOG

if __name__ == "__main__":
    main(CATALOG)
