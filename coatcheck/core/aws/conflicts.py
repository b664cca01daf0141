"""Transactions that are refused because another one is changing the same item: soon afterwards they go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MAX_TRIES = 10

TRANSIENT_REASONS = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"""

RETRY_EVENT = "needs-retry.dynamodb.TransactWriteItems"
"""The event of botocore that asks whether a request is to be sent again; `retry_delay` answers it."""

_FIRST_DELAY, _LONGEST_DELAY = 0.02, 0.5


def retry_delay(
    *, roll: Callable[[], float], response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: object
) -> float | None:
    """After how many seconds a transaction is sent again that was tried `attempts` times; None for not for this.

    The SDK repeats what AWS is too busy for, but not a transaction that has met another one. `roll` gives a random
    number in [0, 1).
    """
    answer = response[1] if response is not None else {}
    reasons = {reason.get("Code", "None") for reason in answer.get("CancellationReasons", ())} - {"None"}
    if not reasons or not reasons <= TRANSIENT_REASONS or attempts >= MAX_TRIES:
        return None
    return float(min(_LONGEST_DELAY, _FIRST_DELAY * 2**attempts) * (0.5 + roll() / 2))
