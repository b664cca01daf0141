"""Limits on how many jobs of a tenant run at once: they are set and changed, and what must hold of its slots."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.aws.dynamodb.slot_items import get_slots
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.slots import Caps, Group, SlotCounts
from coatcheck.core.tenant_limits import NO_LIMITS, TenantLimits
from tests.simulation.model import Model

TABLE, TENANT = "table", "tenant"

LATE = 15 * MINUTE
"""For how long a worker may go by limits that have changed: it keeps them for 30 s, and a write may be on its way."""

IDLE_AFTER = 4 * MINUTE
"""For how long a job may be parked though a slot is free: until the next visit, a look of the schedule, and a sweep."""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """New limits of the tenant, so many milliseconds after the schedule began."""

    after: int
    limits: TenantLimits


def limit_changes(seed: int, types: Sequence[str]) -> list[LimitChange]:
    """The limits of a schedule: of most there are none, of others they change now and then.

    They have a die of their own: the rest of a schedule stays as it is.
    """
    chance = random.Random(f"limits of {seed}")
    changes = _cap_changes(chance, types) if chance.random() >= 0.6 else []
    chance = random.Random(f"tallies of {seed}")
    if chance.random() < 0.7:
        return changes
    # never reached: a tally that is too high would keep a client away for a week
    waiting, stored = (10**9 if chance.random() < 0.8 else None for _ in range(2))
    return [
        replace(one, limits=replace(one.limits, jobs_waiting=waiting, bytes_stored=stored))
        for one in changes or [LimitChange(0, NO_LIMITS)]
    ]


def _cap_changes(chance: random.Random, types: Sequence[str]) -> list[LimitChange]:
    changes = [LimitChange(0, _limits(chance, types))]
    while chance.random() < 0.3:
        after = chance.choice((10, 60, 180, 600, 1800)) * SECOND
        limits = NO_LIMITS if chance.random() < 0.4 else _limits(chance, types)
        changes.append(LimitChange(changes[-1].after + after, limits))
    return changes


def _limits(chance: random.Random, types: Sequence[str]) -> TenantLimits:
    of_tenant = chance.choice((1, 1, 2, None))
    by_type = {name: 1 for name in types if chance.random() < 0.4}
    return TenantLimits(jobs_running=of_tenant, jobs_running_by_type=by_type if of_tenant or by_type else {types[0]: 1})


def set_limits(model: Model, tenant: str, limits: TenantLimits, now: int) -> None:
    """Do as an operator does."""
    names = "jobs_running", "jobs_running_by_type", "jobs_waiting", "bytes_stored"
    changes = {name: getattr(limits, name) for name in names}
    model.carry_out(change_limits(TABLE, tenant, changes), now)


@dataclass
class SlotChecks:
    """Keeps what the rows say of the slots of the one tenant, and compares it with the counts."""

    model: Model
    tenant: str
    jobs: dict[str, Job] = field(default_factory=dict)
    limits: list[tuple[int, TenantLimits]] = field(default_factory=lambda: [(0, NO_LIMITS)])
    idle_since: int | None = None
    woken: int = 0
    parked: int = 0

    def written(self, old: Job | None, new: Job, now: int) -> Iterator[str]:
        """A row was written: whether it may have the slot that it has now."""
        before = Slot.NONE if old is None else old.slot
        self.parked += new.parked and before is not Slot.AWAITED
        self.woken += before is Slot.AWAITED and new.slot is Slot.HELD
        self.jobs[new.id] = new
        started = old is not None and new.attempt != old.attempt
        if started and before is Slot.AWAITED:
            yield f"{new.id} was started while it was parked"
        if new.slot is Slot.HELD and before is not Slot.HELD:
            yield from self._too_many(new, now)
        if started and old is not None and old.status is Status.QUEUED and new.slot is Slot.NONE:
            yield from self._uncounted(new, now)

    def removed(self, job_id: str) -> None:
        """A row was removed."""
        self.jobs.pop(job_id, None)

    def changed(self, limits: TenantLimits, now: int) -> None:
        """The limits were changed."""
        self.limits.append((now, limits))

    def miscounted(self) -> Iterator[str]:
        """What the counts say, and the rows do not: after every call."""
        counts, actual = self._counts(), self._actual()
        if (counts.held, {name: n for name, n in counts.held_by_type.items() if n}, counts.parked) != (
            actual.held,
            actual.held_by_type,
            actual.parked,
        ):
            yield f"the counts are {counts}, and the jobs {actual}"

    def idle(self, now: int, calm_from: int, skew: int) -> Iterator[str]:
        """Jobs that have been parked for too long though a slot is free."""
        _, limits = self.limits[-1]
        counts = self._actual()
        waiting = [group for group in counts.parked if counts.has_room(Caps.of(limits, group.type), group.type)]
        if not waiting:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now
        elif now - max(self.idle_since, calm_from) > IDLE_AFTER + skew:
            yield f"a slot is free, and {waiting} are parked"

    def _uncounted(self, job: Job, now: int) -> Iterator[str]:
        if all(Caps.of(limits, job.type) for limits in self._lately(now)):
            yield f"{job.id} runs without a slot"

    def _too_many(self, job: Job, now: int) -> Iterator[str]:
        counts = self._actual()
        held = {None: counts.held, job.type: counts.held_by_type[job.type]}
        lately = [Caps.of(limits, job.type) for limits in self._lately(now)]
        for name, of in ((None, "tenant"), (job.type, "type")):
            caps = [getattr(caps, of) for caps in lately]
            if None not in caps and held[name] > max(caps):
                yield f"{held[name]} jobs of {name or 'the tenant'} run at once, and {max(caps)} may"

    def _lately(self, now: int) -> list[TenantLimits]:
        """The limits that a worker may go by."""
        until = [at for at, _ in self.limits[1:]] + [now + 1]
        return [limits for (_, limits), end in zip(self.limits, until, strict=True) if end > now - LATE]

    def _actual(self) -> SlotCounts:
        held: dict[str, int] = {}
        parked: dict[Group, int] = {}
        for job in self.jobs.values():
            if job.slot is Slot.HELD:
                held[job.type] = held.get(job.type, 0) + 1
            if job.parked:
                parked[Group.of(job)] = parked.get(Group.of(job), 0) + 1
        return SlotCounts(sum(held.values()), held, parked)

    def _counts(self) -> SlotCounts:
        return self.model.carry_out(get_slots(TABLE, self.tenant), 0)


def with_type(job_types: Mapping[str, object], seed: int, number: int) -> str:
    """The type of a client's job: of several only where limits may tell them apart."""
    names = list(job_types)
    if not limit_changes(seed, names):
        return names[0]
    return random.Random(f"type of {number} in {seed}").choice(names)
