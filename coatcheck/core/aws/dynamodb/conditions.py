"""The conditions of transitions, made from the lifecycle table: none is written anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Guard, Slot, Transition

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """What guards need of whoever makes a transition: its time, the job as it was read, and the requested lease."""

    now: int
    job: Job | None = None
    lease_until: int | None = None

    @property
    def read(self) -> Job:
        """The job as it was read."""
        return _needed(self.job, "the job that was read")


def _needed(given: T | None, what: str) -> T:
    if given is None:
        raise ValueError(f"this move needs {what}")
    return given


_GUARDS: Mapping[Guard, Callable[[Expression, Actor], str]] = {
    Guard.FENCE: lambda e, actor: f"{e.name('attempt')} = {e.number(actor.read.attempt)}",
    Guard.UNCHANGED: lambda e, actor: f"{e.name('version')} = {e.number(actor.read.version)}",
    Guard.LEASE_EXPIRED: lambda e, actor: f"{e.name('lease_until')} < {e.number(actor.now)}",
    Guard.START_DUE: lambda e, actor: (
        f"(attribute_not_exists({e.name('start_at')}) OR {e.name('start_at')} <= {e.number(actor.now)})"
    ),
    Guard.WITHIN_TTL: lambda e, actor: (
        f"(attribute_not_exists({e.name('queue_deadline')}) OR {e.name('queue_deadline')} > {e.number(actor.now)})"
    ),
    Guard.TTL_PASSED: lambda e, actor: f"{e.name('queue_deadline')} <= {e.number(actor.now)}",
    Guard.ATTEMPTS_LEFT: lambda e, _: f"{e.name('attempt')} < {e.name('max_attempts')}",
    Guard.LEASE_NOT_SHORTENED: lambda e, actor: (
        f"{e.name('lease_until')} <= {e.number(_needed(actor.lease_until, 'the lease it asks for'))}"
    ),
    Guard.NOT_PARKED: lambda e, _: (
        f"(attribute_not_exists({e.name('slot')}) OR {e.name('slot')} <> {e.text(Slot.AWAITED)})"
    ),
}

OF_COUNTS = frozenset({Guard.ROOM, Guard.NO_ROOM})
"""What is a condition on the counts of the job's tenant, in the same transaction (`slot_items.count_change`)."""


def condition(e: Expression, transition: Transition, actor: Actor, *, sweeper: bool = False) -> str:
    """The DynamoDB condition under which `actor` may make `transition`."""
    alternatives = [
        " AND ".join(
            [
                f"{e.name('status')} = {e.text(status)}",
                *(_GUARDS[guard](e, actor) for guard in sorted(guards - OF_COUNTS)),
            ]
        )
        for status, guards in transition.guards(sweeper=sweeper).items()
    ]
    # DynamoDB refuses redundant parentheses, and the caller puts a pair around the whole condition
    return alternatives[0] if len(alternatives) == 1 else " OR ".join(f"({one})" for one in alternatives)
