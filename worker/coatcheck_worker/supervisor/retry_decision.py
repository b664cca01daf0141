"""Decide whether and when a failed attempt is retried. Pure: the random number is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from coatcheck.authoring.retry import Reject, RetryLater, RetryPolicy
from coatcheck_worker.runner.handler_errors import wait_of


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
    """Decide what follows when attempt number `attempt` ended in `error` (None: its process died or ran out of time).

    `roll` is a random number in [0, 1).
    """
    if isinstance(error, (Reject, *policy.permanent)):
        return GiveUp(permanent=True)
    if attempt >= max_attempts:
        return GiveUp(permanent=False)
    if isinstance(error, RetryLater):
        return RetryIn(wait_of(error))
    # 2 ** 1024 does not fit a float; the cap is reached long before
    ceiling = min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 64))
    return RetryIn(ceiling * roll)
