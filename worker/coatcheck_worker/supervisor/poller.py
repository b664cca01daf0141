"""Receive the messages of one lane, and run their jobs side by side, each by a runner.

While jobs are quick, messages are received ahead: see `prefetch`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from types import FrameType

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage, change_visibility, receive
from coatcheck.core.log import log_context
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor.attempt import JobAttempt
from coatcheck_worker.supervisor.deleter import Deleter
from coatcheck_worker.supervisor.heartbeat import StopReason
from coatcheck_worker.supervisor.job_messages import handle
from coatcheck_worker.supervisor.prefetch import PrefetchBuffer

log = logging.getLogger(__name__)

LONG_POLL = 20
OUTAGE_PAUSE = 1.0

LOOK_INTERVAL = 0.2
"""Seconds between two looks at whether the process is to end, and whether a message has waited too long."""


class _Drain(BaseException):
    """Raised out of an idle receive when the process is to end."""


class Poller:
    """Works off one queue, with at most `runners` jobs at a time.

    `grace` is how many seconds running jobs have left once the process is to end.
    """

    def __init__(self, dependencies: Dependencies, queue_url: str, *, grace: float, runners: int = 1) -> None:
        self._dependencies, self._queue_url, self._grace = dependencies, queue_url, grace
        self._threads = runners
        self._buffer = PrefetchBuffer(runners)
        self._draining = threading.Event()
        self._grace_over = threading.Event()
        self._receiving = False
        self._attempts: dict[int, JobAttempt] = {}
        self.deleter = Deleter(dependencies.transport)

    def work(self) -> None:
        """Receive and run until `drain` is called, and return when all that runs has ended."""
        lane = self._dependencies.settings.lane_of(self._queue_url)
        threads = [
            threading.Thread(target=self._run_jobs, args=(lane,), name=f"jobs-{number}")
            for number in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        with self.deleter:
            try:
                self._receive_until_drained()
            finally:
                self._hand_back_unstarted(self._buffer.close())
                for thread in threads:
                    thread.join()

    def receive(self, limit: int) -> Sequence[ReceivedMessage]:
        """Receive up to `limit` messages, waiting a while for the first. Raises AwsError."""
        self._receiving = True
        try:
            if self._draining.is_set():
                return []
            return self._dependencies.transport.send(receive(self._queue_url, wait=LONG_POLL, limit=limit))
        finally:
            self._receiving = False

    def process(self, received: ReceivedMessage) -> None:
        """Run the job of a message, and delete the message when it is done. Raises AwsError."""
        try:
            if handle(self._dependencies, received, on_attempt=self._track_attempt):
                self.deleter.delete(received)
        finally:
            self._attempts.pop(threading.get_ident(), None)

    def drain(self, *_: int | FrameType | None) -> None:
        """Receive no more messages; give running jobs their grace. A second call ends the grace. A signal handler."""
        if self._draining.is_set():
            # in a thread: this may have interrupted the holder of a lock
            threading.Thread(target=self.hand_back, daemon=True).start()
            return
        self._draining.set()
        timer = threading.Timer(self._grace, self.hand_back)
        timer.daemon = True
        timer.start()
        # in a thread: this may have interrupted the writing of another log line
        threading.Thread(target=self._log_waiting, daemon=True).start()
        if self._receiving:
            # messages received at this moment are lost to this process; the sweeper sends others
            raise _Drain

    def hand_back(self) -> None:
        """The grace is over: queue the jobs again, also those whose claim is still in flight."""
        self._grace_over.set()
        for attempt in list(self._attempts.values()):
            attempt.heartbeat.request_stop(StopReason.HANDED_BACK)

    @property
    def idle(self) -> bool:
        """Whether no job runs."""
        return not self._attempts

    def _receive_until_drained(self) -> None:
        while not self._draining.is_set():
            room = self._buffer.room(LOOK_INTERVAL)
            self._hand_back_unstarted(self._buffer.take_overdue())
            try:
                self._buffer.put(self.receive(room) if room else [])
            except AwsError as error:
                log.warning("%s; trying again", error)
                self._draining.wait(OUTAGE_PAUSE)
            except _Drain:
                return

    def _hand_back_unstarted(self, messages: Sequence[ReceivedMessage]) -> None:
        """Let another worker receive these at once."""
        for message in messages:
            try:
                self._dependencies.transport.send(change_visibility(message, 0))
            except AwsError as error:
                log.warning("%s; the message comes again later", error)

    def _run_jobs(self, lane: str) -> None:
        with log_context(lane=lane):
            while (received := self._buffer.take()) is not None:
                try:
                    if self._draining.is_set():
                        self._hand_back_unstarted([received])
                    else:
                        self.process(received)
                except AwsError as error:
                    log.warning("%s; the message comes again", error)
                except Exception:
                    # the jobs beside this one, and those after it, do not end with it
                    with contextlib.suppress(Exception):
                        log.exception("message %s: the worker failed on it; going on", received.message_id)
                finally:
                    self._buffer.done(received)

    def _track_attempt(self, attempt: JobAttempt | None) -> None:
        if attempt is None:
            self._attempts.pop(threading.get_ident(), None)
            return
        # in this order: otherwise the grace could end between the two, and nothing would stop the attempt
        self._attempts[threading.get_ident()] = attempt
        if self._draining.is_set():
            self._log_waiting()
        if self._grace_over.is_set():
            attempt.heartbeat.request_stop(StopReason.HANDED_BACK)

    def _log_waiting(self) -> None:
        for attempt in list(self._attempts.values()):
            log.info("before it ends, this process is waiting for %s", attempt.describe())
