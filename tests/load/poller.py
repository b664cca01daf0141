"""A worker process of the load test; `python -m tests.load.supervisor` starts several."""

from coatcheck.authoring.loading import catalog
from coatcheck_worker.supervisor.poller import main
from tests.load.faulty_transports import connect
from tests.load.job_type import work

if __name__ == "__main__":
    main(catalog(work), connect)
