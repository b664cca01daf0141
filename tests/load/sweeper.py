"""`python -m coatcheck_worker.sweep`, with the door of the load test."""

from coatcheck_worker.sweep.__main__ import main
from tests.load.faulty_transports import connect

if __name__ == "__main__":
    main(connect)
