"""How long a quiet tenant's jobs wait beside a noisy one's backlog: `python -m bench.fairness`.

On the emulator, whose queues are fair to tenants as AWS's are. The noisy tenant's jobs are all in the queue when the
quiet tenant's begin to come, one after the other. Each job takes `--seconds`. The wait is from a job's submit to its
start.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.types import Handler, JobType
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import due
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.aws.enqueue import enqueue_job, job_message
from coatcheck.core.aws.sqs import MAX_BATCH, delete, receive, send_jobs
from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job
from coatcheck.core.settings import Settings
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor.job_messages import handle
from tests.aws import emulators
from tests.direct_runners import DirectRunners
from tests.job_rows import make_job

WRITERS = 16


class Nothing(BaseModel):
    """No input, and no result."""


@dataclass(frozen=True)
class Load:
    """What is to be done: by so many workers, `noisy` jobs and then `quiet` ones, each of so many seconds."""

    noisy: int
    quiet: int
    workers: int
    seconds: float


@dataclass(frozen=True)
class Stores:
    """The emulator."""

    aws: Transport
    settings: Settings

    def put(self, tenant: str) -> Job:
        """A job that waits, without a message."""
        now = system_clock()
        due_at = due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0)
        name = make_id("job", random.randbytes(16))  # noqa: S311 - no secret
        job = make_job(now=now, tenant=tenant, id=name, type="bench.sleep", input=Blob.of(b"{}", JSON), due_at=due_at)
        self.aws.send(job_items.put_job(self.settings.table, job, now=now))
        return job

    def backlog(self, tenant: str, number: int) -> None:
        """So many jobs, with their messages in the queue."""
        with ThreadPoolExecutor(WRITERS) as pool:
            jobs = list(pool.map(self.put, [tenant] * number))
            batches = [jobs[first : first + MAX_BATCH] for first in range(0, number, MAX_BATCH)]
            list(pool.map(self._send, batches))

    def _send(self, jobs: Sequence[Job]) -> None:
        queue = self.settings.queues["default"]
        self.aws.send(send_jobs(queue, [(job_message(job), 0) for job in jobs]))

    def row(self, job: Job) -> Job:
        """The row as it is."""
        found = self.aws.send(job_items.get_job(self.settings.table, JobKey(job.tenant, job.id)))
        assert found is not None
        return found


@contextmanager
def workers(stores: Stores, load: Load) -> Iterator[None]:
    """So many workers of the lane, until the block ends."""
    ended = threading.Event()

    def sleep(_: Nothing, __: Context) -> Nothing:
        time.sleep(load.seconds)
        return Nothing()

    job_type = JobType("bench.sleep", Nothing, Nothing, timeout=60, max_attempts=3)
    runners = DirectRunners({job_type.name: Handler(job_type, sleep)}, stores.aws, system_clock)
    dependencies = Dependencies(stores.aws, stores.settings, system_clock, roll=random.random, runners=runners)

    def work() -> None:
        queue = stores.settings.queues["default"]
        while not ended.is_set():
            for received in stores.aws.send(receive(queue, wait=1, limit=1)):
                if handle(dependencies, received):
                    stores.aws.send(delete(received))

    threads = [threading.Thread(target=work) for _ in range(load.workers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def waits(stores: Stores, load: Load, cap: int | None) -> list[float]:
    """The seconds that each job of the quiet tenant waited, beside a noisy one of which `cap` jobs may run at once."""
    noisy, quiet = "noisy", "quiet"
    stores.aws.send(change_limits(stores.settings.table, noisy, {"jobs_running": cap}))
    stores.backlog(noisy, load.noisy)
    with workers(stores, load):
        # what is received at once, before anything is in flight, is the noisy tenant's
        time.sleep(2 * load.seconds + 1)
        jobs = []
        for _ in range(load.quiet):
            jobs.append(job := stores.put(quiet))
            stores.aws.send(enqueue_job(stores.settings, job))
            time.sleep(load.seconds)
        while not all(stores.row(job).started_at for job in jobs):
            time.sleep(0.1)
    rows = [stores.row(job) for job in jobs]
    return [((row.started_at or 0) - row.created_at) / SECOND for row in rows]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--noisy", type=int, default=2000)
    parser.add_argument("--quiet", type=int, default=10)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    load = Load(options.noisy, options.quiet, options.workers, options.seconds)
    beside = f"{load.noisy} jobs of one tenant beside {load.quiet} of another"
    say(f"{beside}, {load.workers} workers, {load.seconds:g} s a job")
    say("| the noisy tenant's cap | p50 | worst |", "|---|---|---|")
    for cap in (None, 2):
        with tempfile.TemporaryDirectory() as scratch, emulators.ministack(Path(scratch)) as url:
            stores = Stores(emulators.connect(url), emulators.deployment_on(url))
            waited = waits(stores, load, cap)
        say(f"| {cap or 'none'} | {statistics.median(waited):.2f} s | {max(waited):.2f} s |")


def say(*lines: str) -> None:
    """Print at once."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
