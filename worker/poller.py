"""One worker process: receive a message, run its job, again. Ends on SIGTERM, when its job is done or handed back."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from coatcheck.calls import AwsError
from coatcheck.deployment import WEBHOOKS, BadSettings, Deployment
from coatcheck.log import about, configure
from coatcheck.queues import Received, delete, receive
from coatcheck.types import Handlers
from jobs.handlers import HANDLERS
from worker import memory
from worker.attempt import Attempt
from worker.aws import Aws, Boto
from worker.heart import Stop
from worker.inbox import handle
from worker.process import heed_signals
from worker.tools import Tools, system_clock

log = logging.getLogger(__name__)

LONG_POLL = 20
OUTAGE_PAUSE = 1.0


class _Drain(BaseException):
    """Raised out of an idle receive when the process is to end."""


class Poller:
    """Works off one queue. `grace` is how many seconds a running job has left once the process is to end."""

    def __init__(self, tools: Tools, queue_url: str, *, grace: float) -> None:
        self._tools, self._queue_url, self._grace = tools, queue_url, grace
        self._draining = threading.Event()
        self._grace_over = threading.Event()
        self._receiving = False
        self._attempt: Attempt | None = None

    def work(self) -> None:
        """Receive and run until told to drain."""
        while not self._draining.is_set():
            try:
                self.step()
            except AwsError as error:
                log.warning("%s; trying again", error)
                self._draining.wait(OUTAGE_PAUSE)
            except _Drain:
                return

    def step(self) -> None:
        """Receive one message, if there is one before the long poll ends, and run its job. Raises AwsError."""
        for received in self._receive():
            if handle(self._tools, received, running=self._note):
                self._tools.aws.send(delete(received))

    def drain(self, *_: int | FrameType | None) -> None:
        """Take no more messages; give the running job its grace. A signal handler."""
        if self._draining.is_set():
            return
        self._draining.set()
        if self._receiving:
            # a message received this very moment is lost to us; the sweeper sends another
            raise _Drain
        timer = threading.Timer(self._grace, self._hand_back)
        timer.daemon = True
        timer.start()

    def _hand_back(self) -> None:
        """The grace is over: the job goes back, and so does one whose claim is still on its way."""
        self._grace_over.set()
        self._stop(self._attempt)

    def _stop(self, attempt: Attempt | None) -> None:
        if attempt is not None:
            attempt.heart.order(Stop.HANDED_BACK)

    def _receive(self) -> Sequence[Received]:
        self._receiving = True
        try:
            return self._tools.aws.send(receive(self._queue_url, wait=LONG_POLL))
        finally:
            self._receiving = False

    def _note(self, attempt: Attempt | None) -> None:
        # in this order: else the grace could end between the two, and nobody would stop the attempt
        self._attempt = attempt
        if self._grace_over.is_set():
            self._stop(attempt)


def main(known: Handlers = HANDLERS, door: Callable[[], Aws] = Boto) -> None:
    """`python -m worker.poller --lane LANE`: what `python -m worker` starts several of.

    `known` are the handlers it runs, `door` makes its way to AWS: tests bring their own.
    """
    parser = argparse.ArgumentParser(prog="python -m worker.poller")
    parser.add_argument("--lane", required=True)
    parser.add_argument("--grace", type=float, default=25.0)
    parser.add_argument("--memory", type=int, required=True)
    options = parser.parse_args()
    try:
        deployment = Deployment.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    if options.lane == WEBHOOKS:
        sys.exit(f"lane {WEBHOOKS} has no jobs: it is worked off by python -m worker.webhooks")
    if options.lane not in deployment.lanes:
        sys.exit(f"no lane {options.lane!r}; COATCHECK_QUEUES has: {', '.join(deployment.lanes)}")
    configure(deployment.log)
    memory.limit(options.memory)
    tools = Tools(door(), deployment, known, clock=system_clock, roll=random.random)
    poller = Poller(tools, deployment.queues[options.lane], grace=options.grace)
    heed_signals(poller.drain)
    with about(lane=options.lane):
        poller.work()


if __name__ == "__main__":
    main()
