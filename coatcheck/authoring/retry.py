"""How a failed attempt is retried: the policy of a job type, and the exceptions that a handler raises."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_RETRY_SECONDS = 30 * 86_400.0
"""The longest time between two attempts."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter between the attempts of one job type.

    Attempt n that fails is tried again after a random time between 0 and
    `min(cap, base * 2 ** (n - 1))` seconds. Errors of the classes in `permanent` are never tried again.
    Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base: float = 2.0
    cap: float = 600.0
    permanent: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.base <= self.cap:
            raise ValueError(f"a retry policy needs 0 <= base <= cap, not base={self.base}, cap={self.cap}")


class Reject(Exception):
    """Raised by a handler: this job can never succeed. It fails immediately, with `reason` shown to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryLater(Exception):
    """Raised by a handler: not now. The next attempt starts after `after` seconds (at most 30 days).

    Raises ValueError when `after` is not a number.
    """

    def __init__(self, after: float, reason: str = "the handler asked to be run later") -> None:
        super().__init__(reason)
        seconds = float(after)
        if math.isnan(seconds):
            raise ValueError("RetryLater needs a number of seconds, not nan")
        self.after: float = min(max(seconds, 0.0), MAX_RETRY_SECONDS)
        self.reason = reason
