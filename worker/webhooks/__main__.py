"""`python -m worker.webhooks`: the deliverer as a polling process."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Sequence

from coatcheck.calls import AwsError
from coatcheck.deployment import WEBHOOKS, BadSettings, Deployment
from coatcheck.log import about, configure
from coatcheck.queues import Received, delete, receive
from worker.aws import Aws, Boto
from worker.process import heed_signals
from worker.tools import Tools, system_clock
from worker.webhooks.desk import Desk
from worker.webhooks.inbox import attend, wait_for_a_turn
from worker.webhooks.pool import Pool, Shares

log = logging.getLogger(__name__)

LONG_POLL = 20
BATCH = 10
OUTAGE_PAUSE = 1.0

THREADS = 32
OF_AN_ENDPOINT, OF_A_TENANT = 8, 2
"""The part of the threads, as its inverse, that each can hold."""

WAITING, TURNS = 10, 3
"""Messages of an endpoint that wait in this process, and of a tenant, for each thread that it can hold.

None waits longer, at 15 s an attempt, than the queue hides it.
"""


class _Drain(BaseException):
    """Raised out of an idle receive when the process is to end."""


class Deliverer:
    """Works off the lane of webhooks in so many `threads`."""

    def __init__(self, desk: Desk, threads: int) -> None:
        self._desk, self._tools = desk, desk.tools
        self._queue_url = self._tools.deployment.queues[WEBHOOKS]
        tenant = max(1, threads // OF_A_TENANT)
        shares = Shares(
            endpoint=max(1, threads // OF_AN_ENDPOINT),
            endpoint_waiting=WAITING,
            tenant=tenant,
            tenant_waiting=TURNS * tenant,
        )
        self._pool = Pool(threads, shares, attend=self._attend, turn_away=self._turn_away)
        self._draining = threading.Event()
        self._receiving = False

    def work(self) -> None:
        """Receive and deliver until told to drain; then finish what was begun."""
        with self._pool:
            while not self._draining.is_set():
                try:
                    self.step()
                except AwsError as error:
                    log.warning("%s; trying again", error)
                    self._draining.wait(OUTAGE_PAUSE)
                except _Drain:
                    break
            self._pool.turn_away_waiting()

    def step(self) -> None:
        """Receive as many messages as there is room for, if any come before the long poll ends. Raises AwsError."""
        for received in self._receive(min(self._pool.room(), BATCH)):
            self._pool.take(received)

    def drain(self, *_: object) -> None:
        """Take no more messages. A signal handler."""
        if self._draining.is_set():
            return
        self._draining.set()
        if self._receiving:
            # what is received this very moment is lost to us; the sweeper sends others
            raise _Drain

    def _receive(self, limit: int) -> Sequence[Received]:
        self._receiving = not self._draining.is_set()
        try:
            return (
                self._tools.aws.send(receive(self._queue_url, wait=LONG_POLL, limit=limit)) if self._receiving else ()
            )
        finally:
            self._receiving = False

    def _attend(self, received: Received) -> None:
        if attend(self._desk, received):
            self._tools.aws.send(delete(received))

    def _turn_away(self, received: Received) -> None:
        if wait_for_a_turn(self._tools, received):
            self._tools.aws.send(delete(received))


def main(door: Callable[[], Aws] = Boto) -> None:
    """Parse the command line and deliver until SIGTERM. `door` makes the way to AWS: tests bring their own."""
    parser = argparse.ArgumentParser(prog="python -m worker.webhooks", description="Deliver webhooks.")
    parser.add_argument(
        "--threads",
        type=int,
        default=THREADS,
        help=f"attempts at the same time, at most one in {OF_AN_ENDPOINT} of them at one endpoint, and one in"
        f" {OF_A_TENANT} for one tenant (default: {THREADS})",
    )
    options = parser.parse_args()
    if options.threads < 1:
        parser.error("--threads must be 1 or more")
    try:
        deployment = Deployment.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    configure(deployment.log)
    tools = Tools(door(), deployment, {}, clock=system_clock, roll=random.random)
    deliverer = Deliverer(Desk.of(tools, os.environ), options.threads)
    heed_signals(deliverer.drain)
    with about(lane=WEBHOOKS):
        deliverer.work()


if __name__ == "__main__":
    main()
