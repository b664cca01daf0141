"""What must hold of the tallies of a tenant: they are sums, never too low, and too high by faults alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from coatcheck.core import tallies
from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.aws.dynamodb.usage_items import Usage, usage_key
from coatcheck.core.clock import MINUTE
from coatcheck.core.job import Job
from coatcheck.core.tallies import Tally
from tests.simulation.fault_history import FaultHistory
from tests.simulation.scheduler import Process

SKEW = 10 * MINUTE
"""By how much a clock of the simulation is ahead at most."""

_USAGE: str = usage_key("")["sk"]["S"]
_RETURNED = f"{Tally.WAITING}_returned"

Incarnation = tuple[str, int]
"""A job's id and when it was created."""


def is_usage(key: tuple[str, str]) -> bool:
    """Whether an item is what a tenant uses."""
    return key[1] == _USAGE


@dataclass
class TallyChecks:
    """Keeps which jobs have to be counted as waiting, and what each process has counted and not given back.

    `counted` are jobs that a process has counted and neither made nor given back. `owed` are jobs that wait no longer
    and are still counted, with who started or ended them, and when.
    """

    fault_history: FaultHistory
    waiting: dict[Incarnation, Job] = field(default_factory=dict)
    counted: Counter[Process] = field(default_factory=Counter)
    owed: dict[Incarnation, tuple[Process, int]] = field(default_factory=dict)
    usage: Usage = field(default_factory=lambda: Usage({}))
    given_back: int = 0

    def usage_written(self, process: Process, before: Item | None, after: Item) -> Iterator[str]:
        """The item with what the tenant uses was written by a process."""
        old, self.usage = Usage.of(before or {}), Usage.of(after)
        for tally in Tally:
            parts = [n for name, n in self.usage.numbers.items() if name.startswith(f"{tally}_")]
            if self.usage.total(tally) != sum(parts) or min(parts, default=0) < 0:
                yield f"{tally} is {self.usage.total(tally)}, and its parts are {parts}"
        change = self.usage.total(Tally.WAITING) - old.total(Tally.WAITING)
        if change > 0:
            self.counted[process] += change
        elif change < 0 and (before or {}).get(_RETURNED) != after.get(_RETURNED):
            self._given_back(process, after[_RETURNED]["S"])

    def _given_back(self, process: Process, of: str) -> None:
        self.given_back += 1
        owed = next((one for one in self.owed if f"{one[0]} {one[1]}" == of), None)
        if owed is None:
            self.counted[process] -= 1
        else:
            del self.owed[owed]

    def job_written(self, process: Process, old: Job | None, new: Job, now: int) -> None:
        """A row was written by a process."""
        if Tally.WAITING not in new.counted:
            return
        incarnation = new.id, new.created_at
        if old is None:
            self.waiting[incarnation] = new
            self.counted[process] -= 1
        elif incarnation in self.waiting and (new.attempt or new.done):
            del self.waiting[incarnation]
            self.owed[incarnation] = process, now

    def too_low(self, now: int, repeated: int) -> Iterator[str]:
        """Jobs wait that are not counted, and not because `repeated` calls were sent again by the SDK."""
        counts = sum(not tallies.is_over(tallies.waiting(job).part, now + SKEW) for job in self.waiting.values())
        if self.usage.total(Tally.WAITING) + repeated < counts:
            yield f"{counts} jobs wait, and {self.usage.total(Tally.WAITING)} are counted"

    def leaked(self) -> Iterator[str]:
        """What is counted at the end, and nothing that went wrong with a process explains it."""
        leaks = [
            f"{process.name} was well, and {job_id} is still counted as waiting"
            for (job_id, _), (process, at) in self.owed.items()
            if self.fault_history.troubled_until(process) < at
        ]
        # another job was given back twice, by a call that the SDK sent again: nothing is left to give back for these
        twice = sum(-count for count in self.counted.values() if count < 0)
        yield from leaks[twice:]
        for process, count in self.counted.items():
            if abs(count) > self.fault_history.troubles[process]:
                yield f"{process.name} has counted {count} jobs more than there are"
