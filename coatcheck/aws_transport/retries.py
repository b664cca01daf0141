"""When a request is sent again, and after how long. Decides only; sends and waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Trouble(Enum):
    """Why a request did not go through, as far as it matters for sending it again."""

    CLOSED = "a kept connection was closed"
    CONNECTION = "no connection, or no answer"
    SERVER = "an error of the service"
    THROTTLED = "too many requests"


THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html"""

TRANSIENT_CODES = frozenset({"RequestTimeout", "RequestTimeoutException", "InternalServerError", "InternalError"})
TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})

LONGEST_PAUSE = 20.0
_FIRST_PAUSE = {Trouble.CLOSED: 0.0, Trouble.CONNECTION: 0.1, Trouble.SERVER: 0.05, Trouble.THROTTLED: 0.5}
"""Seconds: the longest first pause. It doubles with each attempt. A closed connection says nothing of the service."""

_COST = {Trouble.CLOSED: 0, Trouble.CONNECTION: 10, Trouble.SERVER: 5, Trouble.THROTTLED: 5}
_CAPACITY = 500


def trouble_of(code: str, status: int) -> Trouble | None:
    """What kind of trouble an error of AWS is; None for one that comes again however often it is asked."""
    if code in THROTTLING_CODES or status == 429:
        return Trouble.THROTTLED
    if code in TRANSIENT_CODES or status in TRANSIENT_STATUSES:
        return Trouble.SERVER
    return None


class RetryBudget:
    """How many requests a process may send again: it is used up by retries and grows with each success.

    When a service is down, a process that has used it up sends each request once. May be used from several threads.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = self._left = capacity
        self._lock = threading.Lock()

    def take(self, cost: int) -> bool:
        """Take `cost` if there is as much; else take nothing."""
        with self._lock:
            if cost > self._left:
                return False
            self._left -= cost
            return True

    def put_back(self, amount: int) -> None:
        """Give back what a request cost that went through in the end, and one for each success."""
        if self._left < self._capacity:
            with self._lock:
                self._left = min(self._capacity, self._left + amount)


@dataclass(frozen=True, slots=True)
class AwsRetryPolicy:
    """How often a request is sent at most, and what draws the length of the pauses (0 to 1)."""

    attempts: int
    roll: Callable[[], float]
    budget: RetryBudget

    def pause_before(self, attempt: int, trouble: Trouble) -> float | None:
        """Seconds to wait before attempt number `attempt` (from 2), with full jitter; None: give up."""
        if attempt > self.attempts or not self.budget.take(_COST[trouble]):
            return None
        return self.roll() * min(_FIRST_PAUSE[trouble] * 2.0 ** (attempt - 2), LONGEST_PAUSE)

    def succeeded(self, retried: Trouble | None) -> None:
        """A request went through; `retried` is what trouble it had before."""
        self.budget.put_back(_COST[retried] if retried else 1)
