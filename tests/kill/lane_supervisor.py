"""`python -m coatcheck_worker.supervisor`, with the handlers of these tests."""

from coatcheck_worker.supervisor.__main__ import main

if __name__ == "__main__":
    main("tests.kill.forkserver")
