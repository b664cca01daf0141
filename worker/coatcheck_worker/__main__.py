"""`python -m coatcheck_worker`: a polling worker, for containers and for the local stack."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coatcheck.authoring.loading import RESERVED_PREFIX, JobTypeError, load_job_types
from coatcheck.core.log import configure
from coatcheck.core.settings import WEBHOOKS, BadSettings, Settings
from coatcheck_worker import memory
from coatcheck_worker.health_check import report_healthy
from coatcheck_worker.process_isolation import hide_memory

log = logging.getLogger(__name__)

RESTART_DELAY = 1.0
"""Seconds between two starts of one child process. Doubled, up to LONGEST_PAUSE, while they end before LIVED.

A process that was killed by a signal did start, so it is restarted without this delay.
"""
MAX_RESTART_DELAY = 30.0
MIN_UPTIME = 10.0
REPORT_INTERVAL = 5.0
"""Seconds between two reports that every process is well."""

METRICS_PORT = "COATCHECK_METRICS_PORT"


@dataclass(slots=True)
class ChildProcess:
    """One process to keep running for a lane, started by `command`, with `variables` besides those of this process."""

    lane: str
    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    next_start: float = 0.0
    restart_delay: float = RESTART_DELAY
    scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def is_well(self) -> bool:
        """Whether its process runs, and has for a while: one that cannot start ends sooner."""
        return self.process is not None and time.monotonic() - self.started >= MIN_UPTIME

    def ended(self, status: int) -> None:
        """Record that its process has ended: one that cannot start is not restarted in a tight loop."""
        killed = status < 0
        uptime = time.monotonic() - self.started
        self.restart_delay = (
            RESTART_DELAY if killed or uptime >= MIN_UPTIME else min(2 * self.restart_delay, MAX_RESTART_DELAY)
        )
        self.next_start = self.started + self.restart_delay
        self.clear_away()

    def clear_away(self) -> None:
        """Remove what is left of its last process: its files, which it did not remove itself if it was killed."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None
        if self.scratch is not None:
            self.scratch.cleanup()
            self.scratch = None


class ProcessKeeper:
    """Keeps each child process running, and touches `health_file` while all of them do."""

    def __init__(self, children: Sequence[ChildProcess], grace: float, health_file: Path | None = None) -> None:
        self._children, self._grace, self._health_file = children, grace, health_file
        self._draining = False
        self._report_at = 0.0

    def run(self) -> None:
        """Keep every child running until `drain` is called, then wait for each to end."""
        while not self._draining:
            for child in self._children:
                self._keep_running(child)
            self._report()
            time.sleep(0.2)
        self._terminate_all()
        kill_at = time.monotonic() + self._grace + 10
        for child in self._children:
            self._await_end(child, kill_at)

    def drain(self, *_: object) -> None:
        """Start no more processes and end those that run. A second call ends their grace. A signal handler."""
        if self._draining:
            self._terminate_all()
        self._draining = True

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._report_at and all(child.is_well for child in self._children):
            self._report_at = now + REPORT_INTERVAL
            report_healthy(self._health_file)

    def _terminate_all(self) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.terminate()

    def _keep_running(self, child: ChildProcess) -> None:
        if child.process is not None and child.process.poll() is not None:
            status = child.process.returncode
            log.warning("process %d of lane %s ended with status %d", child.process.pid, child.lane, status)
            child.ended(status)
        if child.process is None and time.monotonic() >= child.next_start:
            child.scratch = tempfile.TemporaryDirectory(prefix="coatcheck-worker-", ignore_cleanup_errors=True)
            env = {**os.environ, **child.variables, "TMPDIR": child.scratch.name}
            child.process = subprocess.Popen(child.command, stdin=subprocess.PIPE, env=env)  # noqa: S603 - our own module
            child.started = time.monotonic()

    def _await_end(self, child: ChildProcess, kill_at: float) -> None:
        if child.process is None:
            return
        try:
            child.process.wait(max(0.0, kill_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.clear_away()


def main(supervisor: str = "coatcheck_worker.supervisor", deliverer: str = "coatcheck_worker.webhooks") -> None:
    """Parse the command line and keep a process of the module `supervisor` for each lane, and one of `deliverer`."""
    parser = argparse.ArgumentParser(
        prog="python -m coatcheck_worker", description="Work off the queues of some lanes."
    )
    parser.add_argument("--lane", action="append", help="a lane to work for; repeat for more (default: every lane)")
    parser.add_argument("--runners", type=int, default=1, help="jobs per lane that run at a time, each in a process")
    parser.add_argument(
        "--grace", type=float, default=25.0, help="seconds a running job is given on SIGTERM before it is handed back"
    )
    parser.add_argument(
        "--memory", type=int, help="MB that a runner may take (default: an equal share of what the machine has)"
    )
    parser.add_argument(
        "--health-file", type=Path, metavar="FILE", help="touch this file while all is well, for a health check"
    )
    options = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    configure(settings.log)
    hide_memory()
    lanes = options.lane or sorted(settings.queues)
    if unknown := [lane for lane in lanes if lane not in settings.queues]:
        parser.error(f"no lane {', '.join(unknown)}; COATCHECK_QUEUES has: {', '.join(sorted(settings.queues))}")
    if options.runners < 1:
        parser.error("--runners must be 1 or more")
    job_lanes = [lane for lane in lanes if lane != WEBHOOKS]
    megabytes = options.memory or memory.per_process(options.runners * len(job_lanes) + (WEBHOOKS in lanes))
    if megabytes < memory.MIN_MEMORY:
        parser.error(f"--memory must be {memory.MIN_MEMORY} or more; a share here is {megabytes}: use fewer --runners")
    try:
        lines = serving_lines(settings, job_lanes, options.runners)
    except (BadSettings, JobTypeError) as error:
        sys.exit(str(error))
    # one lane alone: others would take back what it asks for
    spare = ["--spare"] if len(lanes) == 1 else []
    limits = [*spare, "--grace", str(options.grace), "--memory", str(megabytes), "--runners", str(options.runners)]
    commands = {lane: [sys.executable, "-m", supervisor, *limits, "--lane", lane] for lane in job_lanes}
    if WEBHOOKS in lanes:
        commands[WEBHOOKS] = [sys.executable, "-m", deliverer]
    ports = metrics_ports(settings, list(commands))
    children = [
        ChildProcess(lane, command, {METRICS_PORT: str(ports[lane])} if ports else {})
        for lane, command in commands.items()
    ]
    for line in [*lines, *(f"metrics of lane {lane} at port {port}" for lane, port in ports.items())]:
        log.info("%s", line)
    keeper = ProcessKeeper(children, options.grace, options.health_file)
    signal.signal(signal.SIGTERM, keeper.drain)
    signal.signal(signal.SIGINT, keeper.drain)
    keeper.run()


def metrics_ports(settings: Settings, lanes: Sequence[str]) -> Mapping[str, int]:
    """Return on which port the process of each lane serves its metrics: from the setting on; none without it."""
    return {lane: settings.metrics_port + index for index, lane in enumerate(lanes)} if settings.metrics_port else {}


def serving_lines(settings: Settings, lanes: Sequence[str], runners: int) -> list[str]:
    """Return what is said at the start of lanes of jobs. Coatcheck's own job types are not named.

    Raises BadSettings and JobTypeError.
    """
    job_types = load_job_types(settings.job_modules) if lanes else {}
    counted = f"{runners} runner{'s' if runners > 1 else ''}"
    served: dict[str, list[str]] = {lane: [] for lane in lanes}
    for name, job_type in sorted(job_types.items()):
        if job_type.lane in served and not name.startswith(RESERVED_PREFIX):
            served[job_type.lane].append(name)
    return [f"serving {', '.join(names) or 'no job type'} (lane {lane}, {counted})" for lane, names in served.items()]


if __name__ == "__main__":
    main()
