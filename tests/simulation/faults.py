"""What goes wrong, how often, and for how long: drawn anew for every schedule."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from coatcheck.core.clock import MINUTE


class Fault(StrEnum):
    """One kind of thing that goes wrong."""

    THROTTLED = "throttled"
    LOST_REQUEST = "request lost"
    LOST_REPLY = "reply lost"
    REPEATED = "reply lost, and sent again by the SDK"
    BELATED = "given up, and carried out later"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    SLOW = "slow"
    FROZEN = "process frozen"
    MESSAGE_LOST = "message lost"
    MESSAGE_DOUBLED = "message doubled"
    MESSAGE_LATE = "message late"
    ODD = "an exception that is not AWS's"
    LEFT_OUT = "left out of a batch"
    KILLED = "killed at any time"
    RUNNER_KILLED = "runner killed at any time"
    NOT_STARTED = "runner not started"
    DRAINED = "told to end"
    SKEWED = "clock ten minutes off"


OF_CALLS = (
    Fault.THROTTLED,
    Fault.LOST_REQUEST,
    Fault.LOST_REPLY,
    Fault.REPEATED,
    Fault.BELATED,
    Fault.CRASH_BEFORE,
    Fault.CRASH_AFTER,
    Fault.SLOW,
    Fault.FROZEN,
    Fault.ODD,
)
ODD = (MemoryError, RecursionError, UnicodeError)
"""What any line may raise, and AWS does not."""

HEARTBEAT = "heartbeat"
AIMED_AT = (HEARTBEAT, HEARTBEAT, HEARTBEAT, "UpdateItem", "TransactWriteItems", "PutItem", "Query", "DeleteObjects")
"""Operations, but for the heartbeats, which are too many to be hit otherwise."""

OF_MESSAGES = (Fault.MESSAGE_LOST, Fault.MESSAGE_LATE)


@dataclass
class FaultInjector:
    """Faults at `rate` of all calls, until `budget` of them have happened or the time `until` has come.

    Most schedules leave out some kinds, so that the common ones do not hide the rest, and some strike at one kind of
    call alone: the budget would be spent before a heart has beaten.
    """

    chance: random.Random
    started: int
    counts: Counter[Fault] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        chance = self.chance
        self.rate = chance.choice((0.15, 0.25, 0.35, 0.5))
        self.budget = chance.randint(16, 40)
        self.until = self.started + chance.randint(5, 40) * MINUTE
        self._kinds = chance.sample(OF_CALLS, chance.choice((2, 3, 6, len(OF_CALLS))))
        self._messages = [kind for kind in OF_MESSAGES if chance.random() < 0.6]
        self.aimed_at = chance.choice(AIMED_AT) if chance.random() < 0.25 else None
        self.doubling = chance.choice((0.0, 0.1, 0.3))

    @property
    def total(self) -> int:
        """How many faults there were."""
        return self.counts.total()

    def is_active(self, now: int) -> bool:
        """Whether anything may still go wrong."""
        return now < self.until and self.total < self.budget

    def of_call(self, kind: str, now: int) -> Fault | None:
        """What happens to a call of a kind that is made now."""
        if self.aimed_at not in {None, kind}:
            return None
        if self.chance.random() >= self.rate or not self.is_active(now):
            return None
        return self.note(self.chance.choice(self._kinds))

    def of_message(self, now: int) -> Fault | None:
        """What happens to a message that is sent now."""
        if not self._messages or self.chance.random() >= 0.3 or not self.is_active(now):
            return None
        return self.note(self.chance.choice(self._messages))

    def doubles(self, now: int) -> bool:
        """Whether a message that is received now comes once more."""
        if self.chance.random() >= self.doubling or not self.is_active(now):
            return False
        self.note(Fault.MESSAGE_DOUBLED)
        return True

    def leaves_out(self, now: int) -> bool:
        """Whether an entry of a batch that is sent now is not carried out, and the answer says so."""
        if self.chance.random() >= 0.3 or not self.is_active(now):
            return False
        self.note(Fault.LEFT_OUT)
        return True

    def note(self, fault: Fault) -> Fault:
        """Count a fault."""
        self.counts[fault] += 1
        return fault
