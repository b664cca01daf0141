"""How soon a job goes on when its runner dies: `python -m bench.runner_deaths --deaths 500`.

The worker is real processes on MiniStack. Runners die in seven ways, in turn. Counted is the time from just before the
death to when the supervisor wrote that the job is queued again (`noticed`), and to the claim of the next attempt
(`runs again`).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles

from bench.dying_jobs import KILLED, KINDS, die
from bench.worker_stack import WorkerStack, worker_stack
from coatcheck.core import errors
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status

MEMORY = "256"
LIMIT = 1000.0
"""Milliseconds in which a job has to go on, at the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Delays:
    """After one death, in milliseconds."""

    noticed: float
    runs_again: float


def die_once(stack: WorkerStack, kind: str) -> Delays:
    """Run a job whose runner dies."""
    folder = stack.env["TMPDIR"]
    (job,) = stack.submit(die.name, 1, {"kind": kind, "folder": folder}, max_attempts=die.max_attempts)
    file = Path(folder) / job.id
    if kind == KILLED:
        while not file.exists():
            time.sleep(0.001)
        process = int(file.read_text().split()[1])
        died = time.time_ns()
        os.kill(process, signal.SIGKILL)
        done = stack.done(job)
    else:
        done = stack.done(job)
        died = int(file.read_text().split()[0])
    return _delays(done, died / 1e6)


def _delays(job: Job, died: float) -> Delays:
    (retried,) = (event for event in job.history if event.error)
    last = [event for event in job.history if event.type == "job.started"][-1]
    ended = (job.status, job.attempt, retried.error and retried.error.code)
    assert ended == (Status.SUCCEEDED, 2, errors.HANDLER_CRASHED.code), (ended, job.history)
    return Delays(retried.at - died, last.at - died)


def measure(deaths: int, runners: int) -> Mapping[str, Sequence[Delays]]:
    """So many deaths in all, of as many runners side by side; the delays by the kind of death."""
    delays = defaultdict(list)
    kinds = list(islice(cycle(KINDS), deaths))
    with worker_stack() as stack, stack.worker(runners, ["bench.dying_jobs"], "--memory", MEMORY):
        (warm,) = stack.submit(die.name, 1, {"kind": "os._exit", "folder": stack.env["TMPDIR"]}, max_attempts=2)
        stack.done(warm)
        with ThreadPoolExecutor(runners) as pool:
            for kind, delay in zip(kinds, pool.map(lambda kind: die_once(stack, kind), kinds), strict=True):
                delays[kind].append(delay)
    return delays


def _line(name: str, delays: Sequence[Delays]) -> str:
    cells = []
    for of_all in ([one.noticed for one in delays], [one.runs_again for one in delays]):
        cuts = quantiles(of_all, n=100, method="inclusive")
        cells += [cuts[49], cuts[98], max(of_all)]
    return f"{name:24}{len(delays):8}" + "".join(f"{cell:12.0f}" for cell in cells) + "\n"


def main() -> None:
    """Measure, print, and end with status 1 when a hundredth takes longer than a second to be noticed."""
    parser = argparse.ArgumentParser(prog="python -m bench.runner_deaths", description=__doc__)
    parser.add_argument("--deaths", type=int, default=500, help="in all (default: 500)")
    parser.add_argument("--runners", type=int, default=2, help="that die side by side (default: 2)")
    options = parser.parse_args()
    delays = measure(options.deaths, options.runners)
    every = [delay for one in delays.values() for delay in one]
    names = [f"{what}, {which}" for what in ("noticed", "again") for which in ("p50", "p99", "max")]
    sys.stdout.write(f"{'milliseconds':24}{'deaths':>8}" + "".join(f"{name:>12}" for name in names) + "\n")
    sys.stdout.writelines(_line(name, one) for name, one in delays.items())
    sys.stdout.write(_line("all", every))
    sys.exit(quantiles([one.noticed for one in every], n=100, method="inclusive")[98] >= LIMIT)


if __name__ == "__main__":
    main()
