"""Checks whether the account's concurrency limit is enough for the stack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LANE_PARAMETER = re.compile(r"\w+LaneConcurrency|WebhookConcurrency")
RESERVED = {"ApiReservedConcurrency": 2, "SweeperReservedConcurrency": 1}
"""Parameters of reserved concurrency, and the concurrency needed if nothing is reserved: two requests and a sweep."""

MIN_LANE_CONCURRENCY = 2
MIN_UNRESERVED = 100
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html: what Lambda keeps unreserved."""

ASK_FOR_MORE = "ask for more in Service Quotas (Lambda, Concurrent executions)"


@dataclass(frozen=True)
class Account:
    """The concurrency limit of Lambda in this account and region, and how much of it no function has reserved."""

    limit: int
    unreserved: int


def concurrency_warnings(account: Account, values: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning, with values to set instead, where the parameters `values` do not fit the account.

    `before` holds the live stack's own parameters: the stack may use what it has reserved itself.
    """
    requested, ours = (sum(int(one.get(name, 0)) for name in RESERVED) for one in (values, before))
    free = account.unreserved + ours - requested
    if requested and free < MIN_UNRESERVED:
        yield (
            f"{requested} cannot be reserved: this account runs {account.limit} at once, and Lambda keeps "
            f"{MIN_UNRESERVED} unreserved. Set {' and '.join(f'{name}=0' for name in RESERVED)}, or {ASK_FOR_MORE}."
        )
    lanes = {name: int(value) for name, value in values.items() if LANE_PARAMETER.fullmatch(name)}
    left = free - sum(needed for name, needed in RESERVED.items() if values.get(name) == "0")
    if sum(lanes.values()) > left:
        yield (
            f"The lanes run up to {sum(lanes.values())} at once, and this account can run {free} in all: "
            f"long jobs would block the API and the sweeper. {_advice(lanes, left)}"
        )


def _advice(lanes: Mapping[str, int], left: int) -> str:
    if left < MIN_LANE_CONCURRENCY * len(lanes):
        return f"That is too few for any setting: {ASK_FOR_MORE}."
    first, *others = lanes
    fitting = {name: min(lanes[name], max(MIN_LANE_CONCURRENCY, left // 4)) for name in others}
    fitting = {first: min(lanes[first], left - sum(fitting.values())), **fitting}
    lower = " ".join(f"{name}={fitting[name]}" for name in lanes if fitting[name] < lanes[name])
    return f"Set {lower}, or {ASK_FOR_MORE}."
