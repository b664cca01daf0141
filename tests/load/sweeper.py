"""`python -m worker.sweeper`, with the door of the load test."""

from tests.load.doors import Faulty
from worker.sweeper import main

if __name__ == "__main__":
    main(Faulty)
