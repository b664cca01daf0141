"""Deletes messages that are done, in batches: nobody waits for it."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import Self

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import MAX_BATCH, ReceivedMessage, delete, delete_batch

log = logging.getLogger(__name__)

COLLECT_SECONDS = 0.05
"""How long a message waits for others that are deleted by the same request."""


class Deleter:
    """Deletes messages in a thread of its own, while the context lasts; outside of it, at once.

    A message that could not be deleted comes again, and changes nothing: its job is done.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._done: queue.SimpleQueue[ReceivedMessage | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._delete_all, name="deleter")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.put(None)
        if self._thread is not None:
            self._thread.join()

    def delete(self, received: ReceivedMessage) -> None:
        """Delete a message soon. Raises AwsError outside of the context."""
        if self._thread is None:
            self._transport.send(delete(received))
        else:
            self._done.put(received)

    def _delete_all(self) -> None:
        ended = False
        while not ended:
            batch = [self._done.get()]
            with contextlib.suppress(queue.Empty):
                while batch[-1] is not None and len(batch) < MAX_BATCH:
                    batch.append(self._done.get(timeout=COLLECT_SECONDS))
            ended = batch[-1] is None
            self._delete([one for one in batch if one is not None])

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
