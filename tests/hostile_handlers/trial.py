"""Run the table of hostile handlers: several at once, with jobs beside them and after them that must not suffer."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.job import Job
from coatcheck.core.log import context_members, log_context
from coatcheck_worker.s3_signer import S3Signer
from coatcheck_worker.supervisor.forkserver_client import ForkserverClient
from coatcheck_worker.supervisor.handler_environment import environment_for_handlers
from coatcheck_worker.supervisor.runner_pool import RunnerPool
from tests.aws import emulators
from tests.aws.worker.worker_harness import WorkerHarness
from tests.hostile_handlers.answers import TIMEOUT
from tests.hostile_handlers.expected import EXPECTED

AT_ONCE = 4
BESIDE = 10
"""Jobs that run while the hostile handlers run, and again after them, for each of these."""


@dataclass
class Tried:
    """What came of one hostile handler."""

    row: Job
    text: str | None
    seconds: float
    lines: Sequence[str]


class _Lines(logging.Handler):
    """Keeps each line with the job whose it is."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.setdefault(str(context_members().get("job")), []).append(record.getMessage())


@dataclass
class Trial:
    """A worker's supervisor, as a deployment has it, in this process."""

    harness: WorkerHarness
    pool: RunnerPool
    signer: S3Signer
    lines: _Lines = field(default_factory=_Lines)

    def run(self, name: str) -> Tried:
        """Run the job of the hostile handler of this name, once."""
        harness = self.harness
        timeout = (TIMEOUT if name in EXPECTED and EXPECTED[name].stops else 60) * SECOND
        job = harness.submit(type=f"hostile.{name}", timeout=timeout, max_attempts=1)
        dependencies = replace(
            harness.dependencies(lambda *_: None), runners=self.pool, sign=self.signer.sign, clock=system_clock
        )
        began = time.monotonic()
        with log_context(job=job.id):
            harness.run(dependencies, job)
        seconds = time.monotonic() - began
        row = harness.row(job)
        inline = row.result.inline if row.result else None
        text = json.loads(inline)["text"] if inline else None
        return Tried(row, text, seconds, self.lines.lines.get(job.id, []))

    def run_all(self, names: Sequence[str]) -> tuple[dict[str, Tried], list[Tried]]:
        """Run all of them, several at once. Returns what came of each, and of the jobs beside and after them."""
        over = threading.Event()

        def run_beside() -> list[Tried]:
            done: list[Tried] = []
            while not over.is_set() or len(done) < BESIDE:
                done.append(self.run("works"))
            return done

        with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(AT_ONCE) as hostile:
            others = beside.submit(run_beside)
            try:
                tried = dict(zip(names, hostile.map(self.run, names), strict=True))
            finally:
                over.set()
            after = [self.run("works") for _ in range(BESIDE)]
            return tried, [*others.result(), *after]


@contextmanager
def made_trial(scratch: Path) -> Iterator[Trial]:
    """A trial on an emulator of its own."""
    with emulators.ministack(scratch) as url:
        settings = emulators.deployment_on(url)
        harness = WorkerHarness(emulators.connect(url), settings, f"t-{secrets.token_hex(8)}")
        credentials = emulators.session()
        environ = environment_for_handlers(
            {**os.environ, "TMPDIR": str(scratch), "AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}, {}
        )
        pool = RunnerPool(ForkserverClient(environ, megabytes=1024, module="tests.hostile_handlers.handlers"))
        trial = Trial(harness, pool, S3Signer(settings.bucket, session=credentials, endpoint_url=url))
        logging.getLogger().addHandler(trial.lines)
        try:
            yield trial
        finally:
            logging.getLogger().removeHandler(trial.lines)
            pool.close()
