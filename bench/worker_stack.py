"""For benches: stores on MiniStack, and a worker as the processes that it runs as."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.job_items import get_job, put_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.sqs import MAX_BATCH, send_jobs
from coatcheck.core.clock import HOUR, system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import PREFIX, Settings
from coatcheck_infra.local import environment
from tests.aws import emulators
from tests.job_rows import make_job

LANE = "default"
SUBMITTERS = 4
OPTION = "--runners" if find_spec("coatcheck_worker.runner") else "--processes"
"""How many jobs a worker runs at a time: the second in versions before the supervisor and the runner were apart."""

PATIENCE = 600.0
LOOK_EVERY = 0.01


@dataclass(frozen=True)
class WorkerStack:
    """Stores, and the environment of a process that uses them."""

    aws: Transport
    settings: Settings
    env: Mapping[str, str]

    @contextmanager
    def worker(self, runners: int, modules: Sequence[str], *options: str) -> Iterator[int]:
        """`python -m coatcheck_worker` with the job types of `modules`, until the block ends. Gives its process id."""
        env = {**self.env, f"{PREFIX}JOBS": ",".join(modules)}
        command = [sys.executable, "-m", "coatcheck_worker", "--lane", LANE, OPTION, str(runners), *options]
        log = Path(env["TMPDIR"]) / "worker.log"
        with log.open("ab") as output:
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()

    def submit(self, job_type: str, count: int, given: Mapping[str, Any] | None = None, **changes: Any) -> list[Job]:
        """Put so many jobs into the table, and their messages into the queue. `changes` are fields of their rows."""
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            jobs = list(pool.map(lambda _: self._put(job_type, given or {}, changes), range(count)))
            batches = [jobs[first : first + MAX_BATCH] for first in range(0, count, MAX_BATCH)]
            list(pool.map(self._wake, batches))
        return jobs

    def done(self, job: Job) -> Job:
        """Wait until the job is done, and return it."""
        give_up_at = time.monotonic() + PATIENCE
        while not (row := self.row(job)).done:
            if time.monotonic() > give_up_at:
                sys.exit(f"{job.id} is {row.status} after {PATIENCE:g} s")
            time.sleep(LOOK_EVERY)
        return row

    def row(self, job: Job) -> Job:
        """The job as it is now."""
        row = self.aws.send(get_job(self.settings.table, JobKey(job.tenant, job.id)))
        assert row is not None
        return row

    def _put(self, job_type: str, given: Mapping[str, Any], changes: Mapping[str, Any]) -> Job:
        now = system_clock()
        given_text = Blob.of(json.dumps(given).encode(), JSON)
        made = make_id("job", secrets.token_bytes(16))
        # no sweeper runs
        job = make_job(now=now, id=made, type=job_type, input=given_text, due_at=now + HOUR, **changes)
        self.aws.send(put_job(self.settings.table, job, now=now))
        return job

    def _wake(self, jobs: Sequence[Job]) -> None:
        messages = [(JobMessage(tenant=job.tenant, job=job.id), 0) for job in jobs]
        self.aws.send(send_jobs(self.settings.queues[LANE], messages))


@contextmanager
def worker_stack() -> Iterator[WorkerStack]:
    """The stores, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder, emulators.ministack(Path(folder)) as url:
        settings = emulators.deployment_on(url)
        variables = {
            f"{PREFIX}{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in settings.model_dump(exclude_none=True).items()
        }
        env = environment.child_environment(os.environ, Path(folder), url) | variables
        yield WorkerStack(emulators.connect(url), settings, env)
