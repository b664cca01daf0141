"""A worker process with the handlers of these tests; `python -m tests.kill.supervisor` starts several."""

from coatcheck.types import handlers
from tests.kill.hostile import BESIDE, EATS, EXITS, HANGS, KILLS, SPINS
from tests.kill.work import work
from worker.poller import main

if __name__ == "__main__":
    main(handlers(work, BESIDE, EATS, EXITS, HANGS, KILLS, SPINS))
