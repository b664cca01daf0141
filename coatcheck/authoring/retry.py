"""When a failed attempt is tried again. Pure: the die roll is an argument."""

from __future__ import annotations

from dataclasses import dataclass


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
    """Raised by a handler: this job can never succeed. It fails at once, with `reason` shown to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryLater(Exception):
    """Raised by a handler: not now. The next attempt starts after `after` seconds (at most 30 days)."""

    def __init__(self, after: float, reason: str = "the handler asked to be run later") -> None:
        super().__init__(reason)
        self.after: float = min(max(after, 0.0), 30 * 86_400.0)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again: the error is permanent, or the attempts are used up."""

    permanent: bool


def decide(
    policy: RetryPolicy, *, attempt: int, max_attempts: int, error: BaseException | None, roll: float
) -> RetryIn | GiveUp:
    """What follows when attempt number `attempt` ended in `error` (None: its process died or ran out of time).

    `roll` is a random number in [0, 1).
    """
    if isinstance(error, (Reject, *policy.permanent)):
        return GiveUp(permanent=True)
    if attempt >= max_attempts:
        return GiveUp(permanent=False)
    if isinstance(error, RetryLater):
        return RetryIn(error.after)
    # 2 ** 1024 does not fit a float; by then the cap has long been reached
    ceiling = min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 64))
    return RetryIn(ceiling * roll)
