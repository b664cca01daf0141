"""`python -m coatcheck_worker.runner.forkserver`, with the handlers of these tests, whose runners may die."""

from __future__ import annotations

import os

from coatcheck.authoring.loading import catalog
from coatcheck_worker.runner.forkserver import main
from coatcheck_worker.runner.s3_transport import SignedS3Transport
from tests.kill.crashing_transport import CrashingS3Transport, CrashPlan
from tests.kill.hostile_handlers import BESIDE, EATS, EXITS, HANGS, KILLS, SPINS
from tests.kill.job_type import work


def make_transport() -> SignedS3Transport:
    """The transport of the runners: the one that the environment asks for."""
    crash_plan = CrashPlan.of_runner(os.environ)
    return SignedS3Transport() if crash_plan is None else CrashingS3Transport(crash_plan)


if __name__ == "__main__":
    main(catalog(work, BESIDE, EATS, EXITS, HANGS, KILLS, SPINS), make_transport)
