"""Patches of SQS: standard queues that are fair to message groups, as those of AWS are, and quick long polls."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heapreplace
from types import ModuleType, SimpleNamespace
from typing import Any

Message = dict[str, Any]
Collect = Callable[[dict[str, Any], int, int], list[Message]]

LONG_POLL_PAUSE = 0.01
"""Seconds between two looks of a long poll at its queue. MiniStack waits ten times as long: longer than a quick job."""


def look_often(module: ModuleType) -> SimpleNamespace:
    """Wrap `asyncio`, by whose `sleep` a long poll waits between two looks, to wait `LONG_POLL_PAUSE` at most."""

    async def sleep(seconds: float) -> None:
        await module.sleep(min(seconds, LONG_POLL_PAUSE))

    return SimpleNamespace(**{**vars(module), "sleep": sleep})


def share_fairly(collect: Collect) -> Collect:
    """Wrap `collect` to give the messages of groups in turn, those first of which the fewest are being processed.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html says that AWS
    gives the messages of noisy groups later. It does not say when a group is one: here it is the noisier one of two.
    """

    def collected(queue: dict[str, Any], most: int, visibility: int) -> list[Message]:
        if queue["is_fifo"]:
            return collect(queue, most, visibility)
        return collect({**queue, "messages": in_turn(queue["messages"], most, time.time())}, most, visibility)

    return collected


def in_turn(messages: Sequence[Message], most: int, now: float) -> list[Message]:
    """The next messages, `most` at most. One without a group is a group of its own."""
    processed: Counter[str] = Counter()
    waiting: dict[str, list[tuple[int, Message]]] = defaultdict(list)
    for number, message in enumerate(messages):
        group = message.get("group_id") or message["id"]
        if message["visible_at"] > now:
            processed[group] += message.get("receive_count", 0) > 0
        elif len(waiting[group]) < most:
            waiting[group].append((number, message))
    turns = [(processed[group], of_group[0][0], 0, group) for group, of_group in waiting.items()]
    heapify(turns)
    taken: list[Message] = []
    while turns and len(taken) < most:
        count, _, place, group = turns[0]
        of_group = waiting[group]
        taken.append(of_group[place][1])
        if place + 1 < len(of_group):
            heapreplace(turns, (count + 1, of_group[place + 1][0], place + 1, group))
        else:
            heappop(turns)
    return taken
