"""`python -m coatcheck_worker.supervisor`, with the handler and the door of the load test."""

from coatcheck_worker.supervisor.__main__ import main
from tests.load.faulty_transports import connect

if __name__ == "__main__":
    main("tests.load.forkserver", connect)
