"""How long a sweep of a large backlog takes: `python -m bench.backlog_sweep`.

First in virtual time, on the simulation's model of AWS: each request takes 5 ms, a sweeper has 16 threads, and Python
takes nothing. Then what Python does take, boto3 and all, on the emulator: the CPU time of the sweeper's process for a
row. A sweep takes the larger of the two; a function of 1,769 MB has one CPU.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.clock import MINUTE, SECOND, system_clock
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.shards import ShardKind
from coatcheck_worker.dependencies import Dependencies, threaded_map
from coatcheck_worker.sweep import SWEEP_THREADS, ShardAssignment, ShardCursors, sweep
from tests.aws import emulators
from tests.simulation import backlogs
from tests.simulation.actors import QUEUE
from tests.simulation.backlogs import START, TimedSweeper
from tests.simulation.model import Model

BUDGET = 50 * SECOND
"""What a sweep on Lambda has of its minute."""

SWEEPS = 3


@dataclass(frozen=True)
class TableRow:
    """One line of the table."""

    case: str
    noticed: str
    duration: str
    left: str


def dead_worker_among(waiting: int, *, messages: bool) -> TableRow:
    """A backlog of jobs that wait, and one whose worker is dead, due after all others."""
    model = Model()
    jobs = backlogs.waiting(waiting)
    backlogs.put(model, [*jobs, lost := backlogs.left_by_dead_worker()])
    if messages:
        backlogs.with_messages(model, jobs)
    sweeper, left = _run_sweep(model)
    how = "messages wait" if messages else "messages are lost"
    return TableRow(f"{waiting:,} queued, {how}", _seconds(sweeper.noticed(lost)), _duration(sweeper), left)


def removals_with_dead_workers(minutes: int) -> TableRow:
    """Ten jobs a second whose results expire, and a worker that dies each minute."""
    model = Model()
    waits, left, duration = [], 0, 0.0
    for minute in range(minutes):
        began = START + minute * MINUTE
        backlogs.put(model, backlogs.expired(model, 600, f"job_over_{minute}"))
        backlogs.put(model, [lost := backlogs.left_by_dead_worker(minute)])
        sweeper = TimedSweeper(model, began=began)
        left += sweep(sweeper.dependencies, until=began + BUDGET)["left"]
        waits.append(sweeper.noticed(lost))
        duration = max(duration, sweeper.spent)
    case = f"600 removals a minute, {minutes} minutes"
    return TableRow(
        case, f"{max(waits):.2f} s at most", f"{duration / SECOND:.1f} s at most", f"{left + len(model.bucket.objects)}"
    )


def starts(count: int) -> TableRow:
    """Jobs that are to start in one minute, handed over from 14 minutes before."""
    model = Model()
    start_at = START + 14 * MINUTE
    jobs = backlogs.scheduled(count, start_at)
    backlogs.put(model, jobs)
    sweeps, began = 0, START
    while sum(_untouched(model, job) for job in jobs) and sweeps < 14:
        sweep(TimedSweeper(model, began=began).dependencies, until=began + BUDGET)
        sweeps, began = sweeps + 1, began + MINUTE
    visible = [message.visible_at for message in model.queues.of({"QueueUrl": QUEUE}).messages.values()]
    late = (max(visible) - start_at) / SECOND
    return TableRow(
        f"{count:,} start in one minute", f"the last {late:.0f} s late", f"{sweeps} sweeps", f"{count - len(visible)}"
    )


def newer_rows(count: int) -> TableRow:
    """Rows of a newer version in one shard, and a dead worker's job in each."""
    model = Model()
    newer = [replace(job, due_shard=ShardKind.DUE.shard(0)) for job in backlogs.waiting(count)]
    backlogs.of_newer_version(model, newer)
    lost = [backlogs.left_by_dead_worker(n, due_shard=ShardKind.DUE.shard(n)) for n in range(8)]
    backlogs.put(model, lost)
    sweeper, left = _run_sweep(model)
    return TableRow(
        f"{count:,} newer rows in shard 0", f"{max(map(sweeper.noticed, lost)):.2f} s at most", _duration(sweeper), left
    )


def stubborn_object() -> TableRow:
    """One object that S3 will not delete, among others."""
    model = Model()
    jobs = backlogs.expired(model, 600)
    backlogs.put(model, [*jobs, lost := backlogs.left_by_dead_worker()])
    model.bucket.stubborn.add(next(iter(model.bucket.objects)))
    sweeper, _ = _run_sweep(model)
    return TableRow(
        "an object stays", _seconds(sweeper.noticed(lost)), _duration(sweeper), f"{len(model.bucket.objects)}"
    )


def fan_out(count: int) -> TableRow:
    """More than one sweeper can do, and those it calls, which begin when they are called."""
    model = Model()
    jobs = backlogs.waiting(count)
    backlogs.put(model, [*jobs, lost := backlogs.left_by_dead_worker()])
    helpers: list[TimedSweeper] = []

    def delegate(kind: ShardKind, starts: ShardCursors) -> None:
        helper = TimedSweeper(model, began=first.clock())
        sweep(
            helper.dependencies, until=helper.began + BUDGET, assignment=ShardAssignment({kind: starts}, 8, first=False)
        )
        helpers.append(helper)

    first = TimedSweeper(model)
    sweep(first.dependencies, until=START + BUDGET, delegate=delegate)
    ended = max(one.clock() for one in (first, *helpers))
    noticed = next(_seconds(one.noticed(lost)) for one in (first, *helpers) if f"{lost.id} {Status.QUEUED}" in one.seen)
    duration = f"{(ended - START) / SECOND:.1f} s, {1 + len(helpers)} sweepers"
    return TableRow(f"{count:,} queued, fan-out", noticed, duration, f"{sum(_untouched(model, job) for job in jobs)}")


def cpu_of_a_row(rows: int) -> tuple[float, float]:
    """Milliseconds of CPU, and of the clock, that a row takes a sweeper that sends messages for all."""
    with tempfile.TemporaryDirectory() as scratch, emulators.ministack(Path(scratch)) as url:
        settings, aws = emulators.deployment_on(url), emulators.connect(url)
        shift = system_clock() - START
        jobs = [replace(job, due_at=(job.due_at or 0) + shift) for job in backlogs.waiting(rows)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job: aws.send(job_items.put_job(settings.table, job, now=START)), jobs))
        dependencies = Dependencies(
            aws, settings, clock=system_clock, roll=random.random, parallel_map=threaded_map(SWEEP_THREADS)
        )
        cpu, clock = time.process_time(), time.perf_counter()
        done = sweep(dependencies, until=system_clock() + 10 * MINUTE)
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        assert done["woken"] == rows, done
    return 1000 * cpu / rows, 1000 * clock / rows


CASES: Sequence[Callable[[], TableRow]] = (
    lambda: dead_worker_among(20_000, messages=True),
    lambda: dead_worker_among(20_000, messages=False),
    lambda: dead_worker_among(60_000, messages=True),
    lambda: removals_with_dead_workers(36),
    lambda: starts(40_000),
    lambda: newer_rows(8_000),
    stubborn_object,
    lambda: fan_out(100_000),
)


def _run_sweep(model: Model) -> tuple[TimedSweeper, str]:
    """A sweeper after one sweep, and what it left."""
    sweeper = TimedSweeper(model)
    done = sweep(sweeper.dependencies, until=START + BUDGET)
    return sweeper, f"{done['left']}"


def _untouched(model: Model, job: Job) -> bool:
    return int(backlogs.row(model, job)["due_at"]["N"]) <= START


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _duration(sweeper: TimedSweeper) -> str:
    return f"{sweeper.spent / SECOND:.1f} s"


def write(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table, and what a row takes."""
    options = argparse.ArgumentParser(prog="python -m bench.backlog_sweep", description=__doc__)
    options.add_argument("--rows", type=int, default=3000, help="rows on the emulator")
    rows = options.parse_args().rows
    write(f"{'case':<36} {'noticed':>16} {'took':>22} {'left':>6}")
    for case in CASES:
        row = case()
        write(f"{row.case:<36} {row.noticed:>16} {row.duration:>22} {row.left:>6}")
    cpu, clock = cpu_of_a_row(rows)
    write(f"{rows:,} rows on the emulator: {cpu:.2f} ms of CPU for a row, {clock:.2f} ms of the clock")


if __name__ == "__main__":
    main()
