"""Deletes messages that are done, in batches: nobody waits for it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from typing import Self

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import MAX_BATCH, ReceivedMessage, delete, delete_batch

log = logging.getLogger(__name__)

COLLECT_SECONDS = 0.2
"""How long a message waits, at most, for others that are deleted by the same request."""


class Deleter:
    """Deletes messages in a thread of its own, while the context lasts; outside of it, at once.

    A message that could not be deleted comes again, and changes nothing: its job is done.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._done: deque[ReceivedMessage] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._delete_all, name="deleter")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def delete(self, received: ReceivedMessage) -> None:
        """Delete a message soon. Raises AwsError outside of the context."""
        if self._thread is None:
            self._transport.send(delete(received))
            return
        with self._changed:
            self._done.append(received)
            # the thread is not woken for nothing
            if len(self._done) in {1, MAX_BATCH}:
                self._changed.notify()

    def _delete_all(self) -> None:
        while batch := self._next_batch():
            self._delete(batch)

    def _next_batch(self) -> list[ReceivedMessage]:
        """Wait for a message, and a little for others. Returns none when all are deleted and the context has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._ended)
            self._changed.wait_for(lambda: len(self._done) >= MAX_BATCH or self._ended, COLLECT_SECONDS)
            return [self._done.popleft() for _ in range(min(len(self._done), MAX_BATCH))]

    def _delete(self, batch: list[ReceivedMessage]) -> None:
        """Delete these, and once more those that SQS says it has not: it may refuse some of a batch."""
        for _ in range(2):
            if not batch:
                return
            try:
                refused = self._transport.send(delete_batch(batch))
            except AwsError as error:
                log.warning("%s; the messages come again", error)
                return
            except Exception:
                with contextlib.suppress(Exception):
                    log.exception("messages could not be deleted; they come again")
                return
            batch = [batch[position] for position in sorted(refused)]
        if batch:
            log.warning("%d messages could not be deleted; they come again", len(batch))
