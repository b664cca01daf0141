"""Decide whether and when a failed attempt is retried. Pure: the random number is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from coatcheck_worker.runners import ServedType


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again: the error is permanent, or the attempts are used up."""

    permanent: bool


def decide(
    backoff: ServedType,
    *,
    attempt: int,
    max_attempts: int,
    permanent: bool = False,
    after: float | None = None,
    roll: float,
) -> RetryIn | GiveUp:
    """Decide what follows when attempt number `attempt` failed.

    `permanent`: another attempt cannot succeed. `after` is how many seconds the handler asked to wait, if it did.
    `roll` is a random number in [0, 1).
    """
    if permanent:
        return GiveUp(permanent=True)
    if attempt >= max_attempts:
        return GiveUp(permanent=False)
    if after is not None:
        return RetryIn(after)
    # 2 ** 1024 does not fit a float; the cap is reached long before
    ceiling = min(backoff.cap, backoff.base * 2.0 ** min(attempt - 1, 64))
    return RetryIn(ceiling * roll)
