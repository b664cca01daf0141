"""A worker process with the handlers of these tests; `python -m tests.kill.supervisor` starts several."""

from coatcheck.authoring.loading import catalog
from coatcheck_worker.supervisor.poller import main
from tests.kill.hostile_handlers import BESIDE, EATS, EXITS, HANGS, KILLS, SPINS
from tests.kill.job_type import work

if __name__ == "__main__":
    main(catalog(work, BESIDE, EATS, EXITS, HANGS, KILLS, SPINS))
