"""What excuses that a worker is taken for lost, or that its loss is noticed late: of whom it was, and when."""

from __future__ import annotations

from collections import Counter, defaultdict

from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from tests.simulation.scheduler import Process, Scheduler

LEASE = 60 * SECOND
SWEEP_EVERY = 60 * SECOND
HEARTBEAT_INTERVAL = LEASE // 4
SLOWEST_TICK = 4 * SECOND
"""How long a heart of the simulation waits at most between two looks."""

ROUND_TRIP = SECOND
MAX_INDEX_LAG = 5 * SECOND
"""The most by which an index is late."""

SWEEP_TAKES = 5 * SECOND
"""A sweep of the few rows of a schedule, in which nothing goes wrong."""

LEASE_MARGIN = LEASE - HEARTBEAT_INTERVAL - SLOWEST_TICK - ROUND_TRIP
"""Of a lease, what must go wrong with the beats before it runs out."""

SWEEPER = "sweeper"

AttemptKey = tuple[str, int, int]
"""A job's id, when it was created, and the number of an attempt."""


class FaultHistory:
    """Keeps what went wrong with whom."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._processes: list[Process] = []
        self._troubled: dict[Process, int] = {}
        self.troubles: Counter[Process] = Counter()
        self._died: dict[Process, int] = {}
        self._hindered: dict[tuple[Process, str], list[tuple[int, int]]] = defaultdict(list)
        self._granted: dict[AttemptKey, int] = {}
        self._granted_at: dict[AttemptKey, int] = {}

    def joined(self, process: Process) -> None:
        """A process was started."""
        self._processes.append(process)

    @property
    def skew(self) -> int:
        """How far the clocks of two processes are apart at most."""
        offsets = [process.offset for process in self._processes]
        return max(offsets) - min(offsets)

    def died(self, process: Process) -> None:
        """A process ended."""
        self._died[process] = self._scheduler.now

    def troubled(self, process: Process, until: int) -> None:
        """Something goes wrong with a process until a time."""
        self._troubled[process] = max(until, self._troubled.get(process, 0))
        self.troubles[process] += 1

    def troubled_until(self, process: Process) -> int:
        """Until when something went wrong with a process."""
        return self._troubled.get(process, 0)

    def hindered(self, process: Process, job_id: str, lasting: int) -> None:
        """A write of a process to a job's row takes so long more; with "" the whole process stands still."""
        self._hindered[process, job_id].append((self._scheduler.now, lasting))

    def granted(self, attempt_key: AttemptKey, new: Job) -> None:
        """A claim or a beat took effect: the holder was promised the job until its `lease_until`."""
        assert new.lease_until is not None
        self._granted[attempt_key] = max(new.lease_until, self._granted.get(attempt_key, 0))
        self._granted_at[attempt_key] = self._scheduler.now

    def granted_until(self, attempt_key: AttemptKey) -> int:
        """The latest time, on the clock of its holder, for which a hold was promised."""
        return self._granted[attempt_key]

    def was_well(self, attempt_key: AttemptKey, holder: Process, taker: Process) -> bool:
        """Whether nothing went wrong with the holder's beats that explains that its lease ran out before `taker` came.

        A clock that is ahead of the holder's explains it, and so do beats that took too long or were not made.
        """
        if taker.offset > holder.offset:
            return False
        last_beat = self._granted[attempt_key] - LEASE - holder.offset
        wasted = sum(
            lasting + SLOWEST_TICK + ROUND_TRIP
            for job_id in (attempt_key[0], "")
            for at, lasting in self._hindered[holder, job_id]
            if at + lasting >= last_beat
        )
        return wasted < LEASE_MARGIN

    def noticed_late(self, attempt_key: AttemptKey, holder: Process) -> bool:
        """Whether a sweeper with which nothing went wrong must have seen before that a dead process holds the job.

        A write of the holder that was given up may be carried out after its lease is over. Only then does the row, or
        the index once more, show whose the job is. A beat of a holder that is well arrives long before.
        """
        calm: dict[str, int] = {}
        # whatever the row says: a lease is a minute, on the clock of who holds it
        promised = min(self._granted[attempt_key], self._granted_at[attempt_key] + holder.offset + LEASE)
        for process in self._processes:
            name, _, _ = process.name.partition(".")
            if name.startswith(SWEEPER):
                seen_from = max(promised - process.offset, self._granted_at[attempt_key], self._died[holder])
                calm[name] = max(seen_from, self._troubled.get(process, 0), calm.get(name, 0))
        return self._scheduler.now > min(calm.values()) + SWEEP_EVERY + MAX_INDEX_LAG + SWEEP_TAKES
