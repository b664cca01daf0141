"""What must hold of an attempt whose runner died: its job goes on within seconds, as what it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from coatcheck.core import errors
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_worker.supervisor.heartbeat import StopReason
from tests.simulation.fault_history import AttemptKey, FaultHistory
from tests.simulation.scheduler import Process, Scheduler

SETTLED_WITHIN = 5 * SECOND
"""From the death of a runner to the write that ends the attempt, if nothing else goes wrong."""

_CODES: Mapping[str | None, str] = {
    None: errors.HANDLER_CRASHED.code,
    StopReason.OUT_OF_TIME.value: errors.TIMED_OUT.code,
    StopReason.HANDED_BACK.value: errors.HANDED_BACK.code,
    StopReason.CANCELED.value: errors.CANCELED.code,
}
"""The error of an attempt whose runner died, by why it had to end at that time."""


@dataclass(frozen=True, slots=True)
class _Death:
    supervisor: Process
    at: int
    stop: str | None


class RunnerDeaths:
    """Keeps the deaths of runners amid an attempt."""

    def __init__(self, scheduler: Scheduler, fault_history: FaultHistory, violation: Callable[[str], None]) -> None:
        self._scheduler, self._fault_history, self._violation = scheduler, fault_history, violation
        self._deaths: dict[AttemptKey, _Death] = {}

    def died(self, supervisor: Process, attempt_key: AttemptKey, stop: str | None) -> None:
        """The runner of an attempt died, which had to end if there is a reason to `stop`."""
        self._deaths[attempt_key] = _Death(supervisor, self._scheduler.now, stop)

    def stopped(self, attempt_key: AttemptKey, stop: str) -> None:
        """An attempt has to end, whose runner may be dead already."""
        if attempt_key in self._deaths:
            self._deaths[attempt_key] = replace(self._deaths[attempt_key], stop=stop)

    def left(self, attempt_key: AttemptKey, old: Job, new: Job, actor: Process) -> None:
        """An attempt is over, by the hand of `actor`."""
        error = new.history[-1].error
        handed_back = error is not None and error.code == errors.HANDED_BACK.code
        if handed_back and new.max_attempts != old.max_attempts + 1:
            self._violation(f"attempt {old.attempt} of {old.id} was handed back, and counts")
        death = self._deaths.pop(attempt_key, None)
        if death is not None and death.stop != StopReason.LEASE_LOST.value:
            self._died_before(death, old, new, actor)
        elif error is not None and error.code == errors.HANDLER_CRASHED.code:
            self._violation(f"attempt {old.attempt} of {old.id} counts as crashed, and its runner lives")

    def _died_before(self, death: _Death, old: Job, new: Job, actor: Process) -> None:
        named = f"attempt {old.attempt} of {old.id}, whose runner died"
        error = new.history[-1].error
        well = death.supervisor.alive and self._fault_history.troubled_until(death.supervisor) < death.at
        if well and self._scheduler.now > death.at + SETTLED_WITHIN:
            self._violation(f"{named}, ended {(self._scheduler.now - death.at) / SECOND} s later")
        lost = new.attempt != old.attempt or (error is not None and error.code == errors.WORKER_LOST.code)
        ran_out = old.lease_until is not None and old.lease_until <= self._scheduler.now
        if actor is not death.supervisor or lost or ran_out:
            # another process ended it, or the same one did as any may that finds the lease run out
            return
        expected = {_CODES[death.stop]} | ({errors.CANCELED.code} if old.status is Status.CANCELING else set())
        if error is None or error.code not in expected:
            self._violation(f"{named}, ended with {error} instead of {expected}")
        if death.stop is None and new.max_attempts != old.max_attempts:
            self._violation(f"{named}, does not count")
