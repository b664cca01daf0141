"""What of a job's row decides, and what each move makes of it.

A move is made exactly when the guards of the lifecycle table allow it. What it writes besides the status is `_WRITES`,
which `test_model_checking` holds to the real writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from coatcheck.core.lifecycle import Guard, Slot, Status, Transition


class Ttl(IntEnum):
    """The `queue_ttl` of a job that nobody has started."""

    NONE = 0
    PENDING = 1
    PASSED = 2


class Lease(IntEnum):
    """`lease_until`, as of now."""

    NONE = 0
    RUNS = 1
    OUT = 2


class Row(NamedTuple):
    """What of a job's row decides.

    `result`: the attempt whose result it points to, or 0. `leg`: the attempt that was the last leg, or 0; in the model
    each leg makes artifacts.
    """

    status: Status
    attempt: int
    max_attempts: int
    lease: Lease = Lease.NONE
    start_due: bool = True
    ttl: Ttl = Ttl.NONE
    result: int = 0
    leg: int = 0
    slot: Slot = Slot.NONE


class Room(IntEnum):
    """What the other jobs of the tenant leave it of its slots."""

    UNLIMITED = 0
    FREE = 1
    FULL = 2


class Actor(NamedTuple):
    """Who makes a move: the attempt it holds, and whether a later one of its own writes has overtaken this one.

    `slot` is what it has read that the job has of its tenant's slots.
    """

    fence: int | None
    overtaken: bool = False
    slot: Slot = Slot.NONE
    room: Room = Room.UNLIMITED


_HOLDS: Mapping[Guard, Callable[[Row, Actor], bool]] = {
    Guard.FENCE: lambda row, mover: row.attempt == mover.fence,
    # what else makes a version of a job that waits, decides nothing
    Guard.UNCHANGED: lambda row, mover: (row.attempt, row.slot) == (mover.fence, mover.slot),
    Guard.LEASE_EXPIRED: lambda row, _: row.lease is Lease.OUT,
    Guard.START_DUE: lambda row, _: row.start_due,
    Guard.WITHIN_TTL: lambda row, _: row.ttl is not Ttl.PASSED,
    Guard.TTL_PASSED: lambda row, _: row.ttl is Ttl.PASSED,
    Guard.ATTEMPTS_LEFT: lambda row, _: row.attempt < row.max_attempts,
    Guard.LEASE_NOT_SHORTENED: lambda row, mover: row.lease is not Lease.NONE and not mover.overtaken,
    Guard.NOT_PARKED: lambda row, _: row.slot is not Slot.AWAITED,
    Guard.ROOM: lambda _, mover: mover.room is not Room.FULL,
    Guard.NO_ROOM: lambda _, mover: mover.room is Room.FULL,
}

_ENDED: Mapping[str, Any] = {"lease": Lease.NONE, "start_due": True, "ttl": Ttl.NONE}
_WRITES: Mapping[str, Callable[[Row], Mapping[str, Any]]] = {
    "claim a slot": lambda row: {**_ENDED, "lease": Lease.RUNS, "attempt": row.attempt + 1},
    "claim": lambda row: {**_ENDED, "lease": Lease.RUNS, "attempt": row.attempt + 1},
    "renew lease": lambda _: {"lease": Lease.RUNS},
    "retry": lambda _: {"lease": Lease.NONE, "start_due": True},
    "continue": lambda row: {
        "lease": Lease.NONE,
        "start_due": True,
        "max_attempts": row.max_attempts + 1,
        "leg": row.attempt,
    },
    "succeed": lambda row: {**_ENDED, "result": row.attempt},
    "fail": lambda _: _ENDED,
    "time out": lambda _: _ENDED,
    "cancel": lambda _: _ENDED,
    "cancel waiting": lambda _: _ENDED,
    "expire": lambda _: _ENDED,
}


def written(
    transition: Transition,
    row: Row,
    fence: int | None = None,
    *,
    sweeper: bool = False,
    overtaken: bool = False,
    slot: Slot = Slot.NONE,
    room: Room = Room.UNLIMITED,
    **more: Any,
) -> Row | None:
    """The row after `transition` with `more` fields set; None where the table does not allow it."""
    guards = transition.guards(sweeper=sweeper).get(row.status)
    if guards is None or not all(_HOLDS[guard](row, Actor(fence, overtaken, slot, room)) for guard in guards):
        return None
    writes = _WRITES[transition.name](row) if transition.name in _WRITES else {}
    kept = row.slot if transition.slot is None else transition.slot
    return row._replace(status=transition.target or row.status, **{"slot": kept, **writes, **more})
