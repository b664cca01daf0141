"""Whether the account has room for what the stack runs at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LANES = ("DefaultLaneConcurrency", "HeavyLaneConcurrency", "WebhookConcurrency")
RESERVED = {"ApiReservedConcurrency": 2, "SweeperReservedConcurrency": 1}
"""What is reserved, and the room that is needed where it is not: two requests and a sweep."""

LEAST_OF_A_LANE = 2
LEAST_UNRESERVED = 100
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html: what Lambda keeps for the others."""

ASK_FOR_MORE = "ask for more in Service Quotas (Lambda, Concurrent executions)"


@dataclass(frozen=True)
class Account:
    """What Lambda runs at once in this account and region, and how much of it no function has reserved."""

    limit: int
    unreserved: int


def complaints(account: Account, values: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """What of the parameters `values` does not fit the account, and what to set instead.

    `before` are the live stack's own, whose reservations are free for it.
    """
    asked, ours = (sum(int(one.get(name, 0)) for name in RESERVED) for one in (values, before))
    free = account.unreserved + ours - asked
    if asked and free < LEAST_UNRESERVED:
        yield (
            f"{asked} cannot be reserved: of {account.limit} that this account runs at once, Lambda keeps "
            f"{LEAST_UNRESERVED} unreserved. Set {' and '.join(f'{name}=0' for name in RESERVED)}, or {ASK_FOR_MORE}."
        )
    lanes = {name: int(values[name]) for name in LANES}
    left = free - sum(room for name, room in RESERVED.items() if not int(values[name]))
    if sum(lanes.values()) > left:
        yield (
            f"The lanes run up to {sum(lanes.values())} at once, and this account {free} of everything: "
            f"long jobs would keep out the API and the sweeper. {_advice(lanes, left)}"
        )


def _advice(lanes: Mapping[str, int], left: int) -> str:
    if left < LEAST_OF_A_LANE * len(lanes):
        return f"That is too few for any setting: {ASK_FOR_MORE}."
    first, *others = lanes
    fitting = {name: min(lanes[name], max(LEAST_OF_A_LANE, left // 4)) for name in others}
    fitting = {first: min(lanes[first], left - sum(fitting.values())), **fitting}
    lower = " ".join(f"{name}={fitting[name]}" for name in lanes if fitting[name] < lanes[name])
    return f"Set {lower}, or {ASK_FOR_MORE}."
