"""One worker process: receive a message, run its job, repeat. Ends on SIGTERM, when its job is done or queued again."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from coatcheck.authoring.loading import JobTypeError, load_handlers, load_job_types
from coatcheck.authoring.types import Catalog
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage, delete, receive
from coatcheck.core.clock import system_clock
from coatcheck.core.log import configure, log_context
from coatcheck.core.settings import WEBHOOKS, BadSettings, Settings
from coatcheck_worker import memory
from coatcheck_worker.boto_transport import BotoTransport, Transport
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.message_consumer import handle
from coatcheck_worker.process_signals import drain_on_signals
from coatcheck_worker.supervisor.attempt import JobAttempt
from coatcheck_worker.supervisor.heartbeat import StopReason

log = logging.getLogger(__name__)

LONG_POLL = 20
OUTAGE_PAUSE = 1.0


class _Drain(BaseException):
    """Raised out of an idle receive when the process is to end."""


class Poller:
    """Processes one queue. `grace` is how many seconds a running job has left once the process is to end."""

    def __init__(self, dependencies: Dependencies, queue_url: str, *, grace: float) -> None:
        self._dependencies, self._queue_url, self._grace = dependencies, queue_url, grace
        self._draining = threading.Event()
        self._grace_over = threading.Event()
        self._receiving = False
        self._attempt: JobAttempt | None = None

    def work(self) -> None:
        """Receive and run until `drain` is called."""
        while not self._draining.is_set():
            try:
                self.step()
            except AwsError as error:
                log.warning("%s; trying again", error)
                self._draining.wait(OUTAGE_PAUSE)
            except _Drain:
                return

    def step(self) -> None:
        """Receive one message, if one arrives before the long poll ends, and run its job. Raises AwsError."""
        for received in self._receive():
            if handle(self._dependencies, received, on_attempt=self._track_attempt):
                self._dependencies.transport.send(delete(received))

    def drain(self, *_: int | FrameType | None) -> None:
        """Receive no more messages; give the running job its grace. A second call ends the grace. A signal handler."""
        if self._draining.is_set():
            # in a thread: this may have interrupted the holder of a lock
            threading.Thread(target=self._hand_back, daemon=True).start()
            return
        self._draining.set()
        if self._receiving:
            # a message received at this moment is lost to this process; the sweeper sends another
            raise _Drain
        timer = threading.Timer(self._grace, self._hand_back)
        timer.daemon = True
        timer.start()
        # in a thread: this may have interrupted the writing of another log line
        threading.Thread(target=self._log_waiting, args=(self._attempt,), daemon=True).start()

    def _hand_back(self) -> None:
        """The grace is over: queue the job again, also one whose claim is still in flight."""
        self._grace_over.set()
        self._stop(self._attempt)

    def _stop(self, attempt: JobAttempt | None) -> None:
        if attempt is not None:
            attempt.heartbeat.request_stop(StopReason.HANDED_BACK)

    def _log_waiting(self, attempt: JobAttempt | None) -> None:
        if attempt is not None:
            log.info("before it ends, this process is waiting for %s", attempt.describe())

    def _receive(self) -> Sequence[ReceivedMessage]:
        self._receiving = True
        try:
            return self._dependencies.transport.send(receive(self._queue_url, wait=LONG_POLL))
        finally:
            self._receiving = False

    def _track_attempt(self, attempt: JobAttempt | None) -> None:
        # in this order: otherwise the grace could end between the two, and nothing would stop the attempt
        self._attempt = attempt
        if self._draining.is_set():
            self._log_waiting(attempt)
        if self._grace_over.is_set():
            self._stop(attempt)


def main(job_types: Catalog | None = None, make_transport: Callable[[], Transport] = BotoTransport) -> None:
    """`python -m coatcheck_worker.supervisor.poller --lane LANE`. `python -m coatcheck_worker` starts several of these.

    `job_types` are those it runs (by default those in the modules of COATCHECK_JOBS), `make_transport` makes its
    transport to AWS: tests bring their own.
    """
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.supervisor.poller")
    parser.add_argument("--lane", required=True)
    parser.add_argument("--grace", type=float, default=25.0)
    parser.add_argument("--memory", type=int, required=True)
    options = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    if options.lane == WEBHOOKS:
        sys.exit(f"lane {WEBHOOKS} has no jobs: it is worked off by python -m coatcheck_worker.webhooks")
    if options.lane not in settings.lanes:
        sys.exit(f"no lane {options.lane!r}; COATCHECK_QUEUES has: {', '.join(settings.lanes)}")
    configure(settings.log)
    memory.limit(options.memory)
    try:
        handlers = load_handlers(load_job_types(settings.job_modules) if job_types is None else job_types)
    except (BadSettings, JobTypeError) as error:
        sys.exit(str(error))
    dependencies = Dependencies(make_transport(), settings, handlers, clock=system_clock, roll=random.random)
    poller = Poller(dependencies, settings.queues[options.lane], grace=options.grace)
    drain_on_signals(poller.drain)
    with log_context(lane=options.lane):
        poller.work()


if __name__ == "__main__":
    main()
