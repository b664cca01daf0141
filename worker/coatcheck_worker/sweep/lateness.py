"""How late things are, as far as a pass over due jobs sees it: it costs no request more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck.core.metrics.definitions import OLDEST_WAITING, SWEEP_LAG
from coatcheck.core.metrics.recorder import record


@dataclass(slots=True)
class Lateness:
    """The longest time for which a job was due, and for which one waits in each of the lanes, in milliseconds."""

    lanes: Iterable[str]
    overdue: int = 0
    waiting: dict[str, int] = field(default_factory=dict)

    def see(self, jobs: Sequence[Job], now: int) -> None:
        """Take into account these jobs, as they are at the time `now`."""
        for job in jobs:
            if job.due_at is not None:
                self.overdue = max(self.overdue, now - job.due_at)
            if job.status.waiting and not job.parked:
                since = job.start_at or job.created_at
                self.waiting[job.lane] = max(self.waiting.get(job.lane, 0), now - since)

    def record(self) -> None:
        """Record the metrics, also of lanes in which no job was found: zero ends an alarm."""
        record(SWEEP_LAG, self.overdue / SECOND)
        for lane in self.lanes:
            record(OLDEST_WAITING, max(0, self.waiting.get(lane, 0)) / SECOND, lane)
