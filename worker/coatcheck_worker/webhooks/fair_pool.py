"""Threads that work off messages, of which one endpoint, or one tenant, can hold only a part."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeAlias

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck_worker.webhooks.webhook_messages import delivery_in

log = logging.getLogger(__name__)

MessageHandler: TypeAlias = Callable[[ReceivedMessage], object]


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """Messages of which at most `max_running` are processed at a time; at most `max_waiting` wait here."""

    name: str
    max_running: int
    max_waiting: int


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """How many threads one endpoint can hold, and one tenant; and how many messages of each wait for one."""

    endpoint: int
    max_waiting_per_endpoint: int
    tenant: int
    max_waiting_per_tenant: int

    def groups_of(self, received: ReceivedMessage) -> Sequence[LimitGroup]:
        """What a message counts for; nothing if it calls nobody."""
        message = delivery_in(received)
        if message is None:
            return ()
        return (
            LimitGroup(f"{message.tenant}/{message.endpoint}", self.endpoint, self.max_waiting_per_endpoint),
            LimitGroup(message.tenant, self.tenant, self.max_waiting_per_tenant),
        )


class FairPool:
    """So many `threads`, which `process_message` to messages.

    A message whose groups have no thread left for it waits until it is its turn; one whose groups have no room for
    that either is left to `reject`. Leaving the block waits until all of them are attended to.
    """

    def __init__(
        self, threads: int, limits: ConcurrencyLimits, *, process_message: MessageHandler, reject: MessageHandler
    ) -> None:
        self._threads, self._limits = threads, limits
        self._process_message, self._reject = process_message, reject
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="webhooks")
        self._waiting: deque[tuple[ReceivedMessage, Sequence[LimitGroup]]] = deque()
        self._waiting_of: Counter[str] = Counter()
        self._busy_for: Counter[str] = Counter()
        self._busy = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()

    def free_threads(self) -> int:
        """How many threads are free; waits until one is."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._threads)
            return self._threads - self._busy

    def submit(self, received: ReceivedMessage) -> None:
        """Let a thread attend to a message, now or when it is its turn, or turn it away."""
        handler, groups = self._process_message, self._limits.groups_of(received)
        with self._changed:
            if self._may_begin(groups):
                self._begin(groups)
            elif all(self._waiting_of[group.name] < group.max_waiting for group in groups):
                self._waiting.append((received, groups))
                self._waiting_of.update(group.name for group in groups)
                return
            else:
                handler, groups = self._reject, ()
            self._busy += 1
        self._executor.submit(self._run, handler, received, groups)

    def reject_waiting(self) -> None:
        """Turn away what waits for its turn: there will be none."""
        with self._changed:
            left = [received for received, _ in self._waiting]
            self._waiting.clear()
            self._waiting_of.clear()
        for received in left:
            _safely(self._reject, received)

    def _run(self, handler: MessageHandler, received: ReceivedMessage, groups: Sequence[LimitGroup]) -> None:
        _safely(handler, received)
        while (following := self._following(groups)) is not None:
            received, groups = following
            _safely(self._process_message, received)

    def _following(self, done: Sequence[LimitGroup]) -> tuple[ReceivedMessage, Sequence[LimitGroup]] | None:
        """What the thread is to attend to next: who has waited longest of those that may begin now. None frees it."""
        with self._changed:
            _subtract(self._busy_for, done)
            for index, (received, groups) in enumerate(self._waiting):
                if self._may_begin(groups):
                    del self._waiting[index]
                    _subtract(self._waiting_of, groups)
                    self._begin(groups)
                    return received, groups
            self._busy -= 1
            self._changed.notify()
            return None

    def _may_begin(self, groups: Sequence[LimitGroup]) -> bool:
        return all(self._busy_for[group.name] < group.max_running for group in groups)

    def _begin(self, groups: Sequence[LimitGroup]) -> None:
        self._busy_for.update(group.name for group in groups)


def _subtract(counts: Counter[str], groups: Sequence[LimitGroup]) -> None:
    for group in groups:
        counts[group.name] -= 1
        if not counts[group.name]:
            del counts[group.name]


def _safely(handler: MessageHandler, received: ReceivedMessage) -> None:
    try:
        handler(received)
    except AwsError as error:
        log.warning("message %s: %s; it will come again", received.message_id, error)
    except Exception:
        log.exception("message %s", received.message_id)
