"""`python -m coatcheck_worker`, with the handlers of these tests."""

from coatcheck_worker.__main__ import main

if __name__ == "__main__":
    main(supervisor="tests.kill.lane_supervisor")
