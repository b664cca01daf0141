"""`python -m coatcheck_worker`, with the handler and the door of the load test."""

from coatcheck_worker.__main__ import main

if __name__ == "__main__":
    main(supervisor="tests.load.lane_supervisor")
