"""Slots: how many jobs of a tenant may run at once, how many do, and which parked job is next.

A tenant that a limit holds for has a slot for each job that may run. A job takes one when it is claimed, and gives it
back with the write that ends its attempt. A job that finds none free is parked: it has no message, and waits until it
is woken. It is woken with a slot of its own, so that no other job can take that one from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from coatcheck.core.job import Job
from coatcheck.core.priority import Priority
from coatcheck.core.tenant_limits import TenantLimits

TURNS: Sequence[Priority] = (
    Priority.HIGH,
    Priority.NORMAL,
    Priority.HIGH,
    Priority.LOW,
    Priority.HIGH,
    Priority.NORMAL,
    Priority.HIGH,
)
"""Whose turn it is while jobs of all levels are parked: of seven that are woken, four are urgent, and one is not."""

UNTIMED = 10**15
"""What the `due` index sorts parked jobs without `queue_ttl` by, plus the time at which they were created.

Those with one are sorted by when they expire. So a parked job is found as due exactly when it has expired.
"""

LAST_PARKED = 2 * UNTIMED
"""Behind all parked jobs."""


class Group(NamedTuple):
    """Parked jobs of a tenant that are alike: each group has a partition of its own in the `due` index."""

    priority: Priority
    type: str

    @classmethod
    def of(cls, job: Job) -> Group:
        """The group that a job is parked in."""
        return cls(job.priority, job.type)

    def shard(self, tenant: str) -> str:
        """The partition of the group."""
        return f"parked#{tenant}#{self.priority}#{self.type}"


@dataclass(frozen=True, slots=True)
class Caps:
    """How many jobs may run at once, of the tenant and of one type; None where that is not limited."""

    tenant: int | None = None
    type: int | None = None

    @classmethod
    def of(cls, limits: TenantLimits, type_name: str) -> Caps:
        """What the limits say of the jobs of a type."""
        return cls(limits.jobs_running, limits.jobs_running_by_type.get(type_name))

    def __bool__(self) -> bool:
        return self != NO_CAPS


NO_CAPS = Caps()


@dataclass(frozen=True, slots=True)
class SlotCounts:
    """How many slots are held, in all and by type, and how many jobs are parked. `wakes` counts those woken so far."""

    held: int = 0
    held_by_type: Mapping[str, int] = field(default_factory=dict)
    parked: Mapping[Group, int] = field(default_factory=dict)
    wakes: int = 0

    def has_room(self, caps: Caps, type_name: str) -> bool:
        """Whether a job of a type may be started."""
        held = ((caps.tenant, self.held), (caps.type, self.held_by_type.get(type_name, 0)))
        return all(cap is None or count < cap for cap, count in held)

    def turns(self, limits: TenantLimits) -> Iterator[Turn]:
        """The parked jobs that may be woken: first those whose turn it is, then the others, the most urgent first.

        The turns alternate too between jobs that expire, the first to expire first, and those that do not, the oldest
        first.
        """
        groups = [group for group in self.parked if self.has_room(Caps.of(limits, group.type), group.type)]
        first, timed = TURNS[self.wakes % len(TURNS)], self.wakes % 2 == 0
        for priority in dict.fromkeys((first, *reversed(Priority))):
            level = [group for group in groups if group.priority is priority]
            if level:
                yield Turn(level, timed=timed)
                yield Turn(level, timed=not timed)


class Turn(NamedTuple):
    """Groups of one priority, and whether it is the turn of their jobs that expire."""

    groups: Sequence[Group]
    timed: bool


def parked_due_at(job: Job) -> int:
    """By what the `due` index sorts a parked job."""
    return job.queue_deadline if job.queue_deadline is not None else UNTIMED + job.created_at
