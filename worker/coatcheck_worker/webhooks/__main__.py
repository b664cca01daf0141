"""`python -m coatcheck_worker.webhooks`: the deliverer as a polling process."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage, delete, receive
from coatcheck.core.clock import system_clock
from coatcheck.core.log import configure, log_context
from coatcheck.core.messages import DeliveryMessage
from coatcheck.core.settings import WEBHOOKS, BadSettings, Settings
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import start_pump
from coatcheck_worker.aws import connect
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.process_isolation import hide_memory
from coatcheck_worker.process_signals import drain_on_signals
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from coatcheck_worker.webhooks.fair_pool import ConcurrencyLimits, FairPool
from coatcheck_worker.webhooks.webhook_messages import process_message, redeliver_later

log = logging.getLogger(__name__)

LONG_POLL = 20
BATCH = 10
OUTAGE_PAUSE = 1.0

THREADS = 32
ENDPOINT_DIVISOR, TENANT_DIVISOR = 8, 2
"""One endpoint can hold one in so many threads, and so can one tenant."""

MAX_WAITING_PER_ENDPOINT, MAX_WAITING_PER_TENANT_THREAD = 10, 3
"""Messages that may wait in this process: of an endpoint, and of a tenant, for each thread that it can hold.

At 15 s an attempt, none waits longer than the queue's visibility timeout.
"""


class _Drain(BaseException):
    """Raised out of an idle receive when the process is to end."""


class Deliverer:
    """Processes lane `webhooks` in `threads` threads."""

    def __init__(self, delivery_context: DeliveryContext, threads: int) -> None:
        self._delivery_context, self._dependencies = delivery_context, delivery_context.dependencies
        self._queue_url = self._dependencies.settings.queues[WEBHOOKS]
        tenant = max(1, threads // TENANT_DIVISOR)
        limits = ConcurrencyLimits(
            endpoint=max(1, threads // ENDPOINT_DIVISOR),
            max_waiting_per_endpoint=MAX_WAITING_PER_ENDPOINT,
            tenant=tenant,
            max_waiting_per_tenant=MAX_WAITING_PER_TENANT_THREAD * tenant,
        )
        self._pool = FairPool(threads, limits, process_message=self._process_message, reject=self._reject)
        self._draining = threading.Event()
        self._receiving = False

    def work(self) -> None:
        """Receive and deliver until `drain` is called; then finish what was started."""
        with self._pool:
            while not self._draining.is_set():
                try:
                    self.step()
                except AwsError as error:
                    log.warning("%s; trying again", error)
                    self._draining.wait(OUTAGE_PAUSE)
                except _Drain:
                    break
            self._pool.reject_waiting()

    def step(self) -> None:
        """Receive as many messages as there is room for, if any arrive before the long poll ends. Raises AwsError."""
        for received in self._receive(min(self._pool.free_threads(), BATCH)):
            self._pool.submit(received)

    def drain(self, *_: object) -> None:
        """Receive no more messages. A signal handler."""
        if self._draining.is_set():
            return
        self._draining.set()
        if self._receiving:
            # messages received at this moment are lost to this process; the sweeper sends others
            raise _Drain

    def _receive(self, limit: int) -> Sequence[ReceivedMessage]:
        self._receiving = not self._draining.is_set()
        try:
            return (
                self._dependencies.transport.send(receive(self._queue_url, wait=LONG_POLL, limit=limit))
                if self._receiving
                else ()
            )
        finally:
            self._receiving = False

    def _process_message(self, received: ReceivedMessage) -> None:
        if process_message(self._delivery_context, received, self._admit):
            self._dependencies.transport.send(delete(received))

    def _admit(self, message: DeliveryMessage) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=False) if self._draining.is_set() else self._pool.admitted(message)

    def _reject(self, received: ReceivedMessage) -> None:
        if redeliver_later(self._dependencies, received):
            self._dependencies.transport.send(delete(received))


def main(make_transport: Callable[[], Transport] = connect) -> None:
    """Parse the command line and deliver until SIGTERM.

    `make_transport` makes the transport to AWS: tests bring their own.
    """
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.webhooks", description="Deliver webhooks.")
    parser.add_argument(
        "--threads",
        type=int,
        default=THREADS,
        help=f"attempts at the same time, at most one in {ENDPOINT_DIVISOR} of them at one endpoint, and one in"
        f" {TENANT_DIVISOR} for one tenant (default: {THREADS})",
    )
    options = parser.parse_args()
    if options.threads < 1:
        parser.error("--threads must be 1 or more")
    try:
        settings = Settings.from_env(os.environ)
        start_pump(settings)
    except BadSettings as error:
        sys.exit(str(error))
    configure(settings.log)
    hide_memory()
    dependencies = Dependencies(
        make_transport(), settings, clock=system_clock, roll=random.random, tracer=installed_tracer()
    )
    deliverer = Deliverer(DeliveryContext.of(dependencies, os.environ), options.threads)
    drain_on_signals(deliverer.drain)
    with log_context(lane=WEBHOOKS):
        deliverer.work()


if __name__ == "__main__":
    main()
