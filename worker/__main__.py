"""`python -m worker`: a polling worker of several processes, for containers and for the embedded stack."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from coatcheck.deployment import WEBHOOKS, BadSettings, Deployment
from coatcheck.log import configure
from worker import memory

log = logging.getLogger(__name__)

RESTART_PAUSE = 1.0
"""Seconds between two starts of one place's process. Doubled, up to LONGEST_PAUSE, while they end before LIVED.

One that was killed by a signal did start: it is not made to wait for it.
"""
LONGEST_PAUSE = 30.0
LIVED = 10.0

LEAST_MEMORY = 128
"""Megabytes that a process takes to do anything at all."""


@dataclass(slots=True)
class Place:
    """One process to be kept running: what `command` starts, for a lane."""

    lane: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    next_start: float = 0.0
    pause: float = RESTART_PAUSE
    scratch: tempfile.TemporaryDirectory[str] | None = None

    def ended(self, status: int) -> None:
        """Note that its process has ended: one that cannot start is not started over and over."""
        killed = status < 0
        lived = time.monotonic() - self.started
        self.pause = RESTART_PAUSE if killed or lived >= LIVED else min(2 * self.pause, LONGEST_PAUSE)
        self.next_start = self.started + self.pause
        self.process = None
        self.tidy()

    def tidy(self) -> None:
        """Remove the files of its last process: one that was killed has not."""
        if self.scratch is not None:
            self.scratch.cleanup()
            self.scratch = None


class Supervisor:
    """Keeps the process of each place running: a poller dies with a handler that crashes or will not stop."""

    def __init__(self, places: Sequence[Place], grace: float) -> None:
        self._places, self._grace = places, grace
        self._draining = False

    def run(self) -> None:
        """Keep every place filled until told to drain, then wait for each to end."""
        while not self._draining:
            for place in self._places:
                self._fill(place)
            time.sleep(0.2)
        for place in self._places:
            if place.process is not None:
                place.process.terminate()
        give_up_at = time.monotonic() + self._grace + 10
        for place in self._places:
            self._await_end(place, give_up_at)

    def drain(self, *_: object) -> None:
        """Start no more processes and end those that run. A signal handler."""
        self._draining = True

    def _fill(self, place: Place) -> None:
        if place.process is not None and place.process.poll() is not None:
            status = place.process.returncode
            log.warning("process %d of lane %s ended with status %d", place.process.pid, place.lane, status)
            place.ended(status)
        if place.process is None and time.monotonic() >= place.next_start:
            place.scratch = tempfile.TemporaryDirectory(prefix="coatcheck-worker-", ignore_cleanup_errors=True)
            env = {**os.environ, "TMPDIR": place.scratch.name}
            place.process = subprocess.Popen(place.command, stdin=subprocess.PIPE, env=env)  # noqa: S603 - our own module
            place.started = time.monotonic()

    def _await_end(self, place: Place, give_up_at: float) -> None:
        if place.process is None:
            return
        try:
            place.process.wait(max(0.0, give_up_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            place.process.kill()
            place.process.wait()
        place.tidy()


def main(poller: str = "worker.poller", deliverer: str = "worker.webhooks") -> None:
    """Parse the command line and supervise processes of the modules `poller` and, for webhooks, `deliverer`."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Work off the queues of some lanes.")
    parser.add_argument("--lane", action="append", help="a lane to work for; repeat for more (default: every lane)")
    parser.add_argument(
        "--processes", type=int, default=1, help="processes per lane of jobs; each runs one job at a time"
    )
    parser.add_argument(
        "--grace", type=float, default=25.0, help="seconds a running job is given on SIGTERM before it is handed back"
    )
    parser.add_argument(
        "--memory", type=int, help="MB that a process may take (default: an equal share of what the machine has)"
    )
    options = parser.parse_args()
    try:
        deployment = Deployment.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    configure(deployment.log)
    lanes = options.lane or sorted(deployment.queues)
    if unknown := [lane for lane in lanes if lane not in deployment.queues]:
        parser.error(f"no lane {', '.join(unknown)}; COATCHECK_QUEUES has: {', '.join(sorted(deployment.queues))}")
    if options.processes < 1:
        parser.error("--processes must be 1 or more")
    job_lanes = [lane for lane in lanes if lane != WEBHOOKS]
    megabytes = options.memory or memory.share(options.processes * len(job_lanes) + (WEBHOOKS in lanes))
    if megabytes < LEAST_MEMORY:
        parser.error(f"--memory must be {LEAST_MEMORY} or more; a share here is {megabytes}: use fewer --processes")
    bounds = ["--grace", str(options.grace), "--memory", str(megabytes)]
    places = [
        Place(lane, [sys.executable, "-m", poller, *bounds, "--lane", lane])
        for lane in job_lanes
        for _ in range(options.processes)
    ]
    if WEBHOOKS in lanes:
        places.append(Place(WEBHOOKS, [sys.executable, "-m", deliverer]))
    supervisor = Supervisor(places, options.grace)
    signal.signal(signal.SIGTERM, supervisor.drain)
    signal.signal(signal.SIGINT, supervisor.drain)
    supervisor.run()


if __name__ == "__main__":
    main()
