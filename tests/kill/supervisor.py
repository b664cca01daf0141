"""`python -m worker`, with the handlers of these tests."""

from worker.__main__ import main

if __name__ == "__main__":
    main(poller="tests.kill.poller")
