"""The conditions of moves, made from the lifecycle table: none is spelled anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from coatcheck.lifecycle import Guard, Move
from coatcheck.record import Job
from coatcheck.table.expressions import Expression

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mover:
    """Who makes a move, as far as guards ask: its time, the job as it has read it, and the lease that it asks for."""

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


_GUARDS: Mapping[Guard, Callable[[Expression, Mover], str]] = {
    Guard.FENCE: lambda e, mover: f"{e.name('attempt')} = {e.number(mover.read.attempt)}",
    Guard.UNCHANGED: lambda e, mover: f"{e.name('version')} = {e.number(mover.read.version)}",
    Guard.LEASE_OUT: lambda e, mover: f"{e.name('lease_until')} < {e.number(mover.now)}",
    Guard.START_DUE: lambda e, mover: (
        f"(attribute_not_exists({e.name('start_at')}) OR {e.name('start_at')} <= {e.number(mover.now)})"
    ),
    Guard.IN_TIME: lambda e, mover: (
        f"(attribute_not_exists({e.name('queue_deadline')}) OR {e.name('queue_deadline')} > {e.number(mover.now)})"
    ),
    Guard.TTL_PASSED: lambda e, mover: f"{e.name('queue_deadline')} <= {e.number(mover.now)}",
    Guard.ATTEMPTS_LEFT: lambda e, _: f"{e.name('attempt')} < {e.name('max_attempts')}",
    Guard.NO_SOONER: lambda e, mover: (
        f"{e.name('lease_until')} <= {e.number(_needed(mover.lease_until, 'the lease it asks for'))}"
    ),
}


def condition(e: Expression, move: Move, mover: Mover, *, sweeper: bool = False) -> str:
    """The DynamoDB condition under which `mover` may make `move`."""
    alternatives = [
        " AND ".join(
            [
                f"{e.name('status')} = {e.text(status)}",
                *(_GUARDS[guard](e, mover) for guard in sorted(guards)),
            ]
        )
        for status, guards in move.guards(sweeper=sweeper).items()
    ]
    # DynamoDB refuses redundant parentheses, and whoever asks puts a pair round the whole
    return alternatives[0] if len(alternatives) == 1 else " OR ".join(f"({one})" for one in alternatives)
