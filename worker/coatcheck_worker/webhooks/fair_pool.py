"""A pool of threads that process messages; one endpoint, or one tenant, can hold only a part of them."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, TypeAlias

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.messages import DeliveryMessage
from coatcheck_worker.webhooks.webhook_messages import delivery_in

log = logging.getLogger(__name__)

MessageHandler: TypeAlias = Callable[[ReceivedMessage], object]


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """A group of messages: at most `max_running` are processed at a time, and at most `max_waiting` wait here."""

    name: str
    max_running: int
    max_waiting: int


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """How many threads one endpoint, and one tenant, can hold; and how many messages of each may wait for one."""

    endpoint: int
    max_waiting_per_endpoint: int
    tenant: int
    max_waiting_per_tenant: int

    def groups_of(self, received: ReceivedMessage) -> Sequence[LimitGroup]:
        """The groups that a message counts in; none if it makes no request."""
        message = delivery_in(received)
        return () if message is None else self.groups_of_delivery(message)

    def groups_of_delivery(self, message: DeliveryMessage) -> Sequence[LimitGroup]:
        """The groups that an attempt of this delivery counts in."""
        return (
            LimitGroup(f"{message.tenant}/{message.endpoint}", self.endpoint, self.max_waiting_per_endpoint),
            LimitGroup(message.tenant, self.tenant, self.max_waiting_per_tenant),
        )


class FairPool:
    """A pool of `threads` threads that call `process_message` for each message.

    A message whose groups have no thread left waits for its turn. If its groups have no room to wait either, `reject`
    gets it. Leaving the block waits until all messages are processed.
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
        """The number of free threads; waits until there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._threads)
            return self._threads - self._busy

    def submit(self, received: ReceivedMessage) -> None:
        """Have a thread process a message, now or when it is its turn, or reject it."""
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

    @contextmanager
    def admitted(self, message: DeliveryMessage) -> Iterator[bool]:
        """Whether a thread of the pool that serves another message may also attempt this delivery, now.

        Within the context it counts as one of its groups' threads. Nothing is admitted before what waits for its turn.
        """
        groups = self._limits.groups_of_delivery(message)
        with self._changed:
            admitted = self._may_begin(groups) and not any(self._waiting_of[group.name] for group in groups)
            if admitted:
                self._begin(groups)
        try:
            yield admitted
        finally:
            if admitted:
                # who began to wait meanwhile is what this thread does next
                with self._changed:
                    _subtract(self._busy_for, groups)

    def reject_waiting(self) -> None:
        """Reject the messages that wait for their turn: it will not come."""
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
        """The thread's next message: the longest waiting of those that may start now. None frees the thread."""
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
