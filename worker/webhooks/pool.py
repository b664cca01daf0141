"""Threads that work off messages, of which one endpoint, or one tenant, can hold only a part."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeAlias

from coatcheck.calls import AwsError
from coatcheck.queues import Received
from worker.webhooks.inbox import delivery_in

log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[Received], object]


@dataclass(frozen=True, slots=True)
class Group:
    """Messages of which at most `share` are attended to at a time, while at most `waiting` wait here for their turn."""

    name: str
    share: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Shares:
    """How many threads one endpoint can hold, and one tenant; and how many messages of each wait for one."""

    endpoint: int
    endpoint_waiting: int
    tenant: int
    tenant_waiting: int

    def groups_of(self, received: Received) -> Sequence[Group]:
        """What a message counts for; nothing if it calls nobody."""
        message = delivery_in(received)
        if message is None:
            return ()
        return (
            Group(f"{message.tenant}/{message.endpoint}", self.endpoint, self.endpoint_waiting),
            Group(message.tenant, self.tenant, self.tenant_waiting),
        )


class Pool:
    """So many `threads`, which `attend` to messages.

    A message whose groups have no thread left for it waits until it is its turn; one whose groups have no room for
    that either is left to `turn_away`. Leaving the block waits until all of them are attended to.
    """

    def __init__(self, threads: int, shares: Shares, *, attend: Work, turn_away: Work) -> None:
        self._threads, self._shares = threads, shares
        self._attend, self._turn_away = attend, turn_away
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="webhooks")
        self._waiting: deque[tuple[Received, Sequence[Group]]] = deque()
        self._waiting_of: Counter[str] = Counter()
        self._busy_for: Counter[str] = Counter()
        self._busy = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()

    def room(self) -> int:
        """How many threads are free; waits until one is."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._threads)
            return self._threads - self._busy

    def take(self, received: Received) -> None:
        """Let a thread attend to a message, now or when it is its turn, or turn it away."""
        work, groups = self._attend, self._shares.groups_of(received)
        with self._changed:
            if self._may_begin(groups):
                self._begin(groups)
            elif all(self._waiting_of[group.name] < group.waiting for group in groups):
                self._waiting.append((received, groups))
                self._waiting_of.update(group.name for group in groups)
                return
            else:
                work, groups = self._turn_away, ()
            self._busy += 1
        self._executor.submit(self._run, work, received, groups)

    def turn_away_waiting(self) -> None:
        """Turn away what waits for its turn: there will be none."""
        with self._changed:
            left = [received for received, _ in self._waiting]
            self._waiting.clear()
            self._waiting_of.clear()
        for received in left:
            _safely(self._turn_away, received)

    def _run(self, work: Work, received: Received, groups: Sequence[Group]) -> None:
        _safely(work, received)
        while (following := self._following(groups)) is not None:
            received, groups = following
            _safely(self._attend, received)

    def _following(self, done: Sequence[Group]) -> tuple[Received, Sequence[Group]] | None:
        """What the thread is to attend to next: who has waited longest of those that may begin now. None frees it."""
        with self._changed:
            _subtract(self._busy_for, done)
            for place, (received, groups) in enumerate(self._waiting):
                if self._may_begin(groups):
                    del self._waiting[place]
                    _subtract(self._waiting_of, groups)
                    self._begin(groups)
                    return received, groups
            self._busy -= 1
            self._changed.notify()
            return None

    def _may_begin(self, groups: Sequence[Group]) -> bool:
        return all(self._busy_for[group.name] < group.share for group in groups)

    def _begin(self, groups: Sequence[Group]) -> None:
        self._busy_for.update(group.name for group in groups)


def _subtract(counts: Counter[str], groups: Sequence[Group]) -> None:
    for group in groups:
        counts[group.name] -= 1
        if not counts[group.name]:
            del counts[group.name]


def _safely(work: Work, received: Received) -> None:
    try:
        work(received)
    except AwsError as error:
        log.warning("message %s: %s; it will come again", received.message_id, error)
    except Exception:
        log.exception("message %s", received.message_id)
