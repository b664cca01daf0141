"""What excuses a takeover, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from tests.job_rows import make_job
from tests.simulation.fault_history import LEASE, MAX_INDEX_LAG, SWEEP_EVERY, SWEEP_TAKES, FaultHistory
from tests.simulation.scheduler import START, Process, Scheduler, Threads

IN_TIME = SWEEP_EVERY + MAX_INDEX_LAG + SWEEP_TAKES
ATTEMPT = ("job_1", START, 1)


@dataclass
class Scene:
    """A worker that holds a job and dies, and a sweeper with which nothing goes wrong."""

    scheduler: Scheduler
    history: FaultHistory
    worker: Process

    def granted(self, *, sent: int, carried_out: int) -> None:
        """A claim or a beat, `sent` and carried out so long after the start."""
        self.scheduler.now = START + carried_out
        row = make_job(now=START, status=Status.RUNNING, attempt=1, lease_until=START + sent + LEASE)
        self.history.granted(ATTEMPT, row)

    def died(self, at: int) -> None:
        self.scheduler.now = START + at
        self.history.died(self.worker)

    def late(self, at: int) -> bool:
        self.scheduler.now = START + at
        return self.history.noticed_late(ATTEMPT, self.worker)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """One schedule that is not played."""
    threads = Threads()
    scheduler = Scheduler(threads)
    history, worker = FaultHistory(scheduler), Process("worker0.1")
    for process in (worker, Process("sweeper0.1")):
        history.joined(process)
    yield Scene(scheduler, history, worker)
    threads.close()


def test_a_death_must_be_noticed_when_the_lease_has_run_out(scene: Scene) -> None:
    scene.granted(sent=0, carried_out=SECOND)
    scene.died(10 * SECOND)
    assert not scene.late(LEASE + IN_TIME)
    assert scene.late(LEASE + IN_TIME + SECOND)


def test_a_claim_that_is_carried_out_late_can_be_seen_from_then_on(scene: Scene) -> None:
    scene.died(10 * SECOND)
    scene.granted(sent=0, carried_out=3 * MINUTE)
    assert not scene.late(3 * MINUTE + IN_TIME)
    assert scene.late(3 * MINUTE + IN_TIME + SECOND)


def test_a_beat_that_is_carried_out_before_its_lease_is_over_excuses_nothing_more(scene: Scene) -> None:
    scene.granted(sent=0, carried_out=SECOND)
    scene.died(20 * SECOND)
    scene.granted(sent=15 * SECOND, carried_out=50 * SECOND)
    assert not scene.late(15 * SECOND + LEASE + IN_TIME)
    assert scene.late(15 * SECOND + LEASE + IN_TIME + SECOND)
