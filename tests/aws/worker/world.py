"""One tenant's jobs on real stores, and a worker whose handler the test chooses."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from coatcheck import blobs, due, pack
from coatcheck.clock import SECOND
from coatcheck.context import Context
from coatcheck.deployment import Deployment
from coatcheck.ids import make_id
from coatcheck.messages import JobMessage
from coatcheck.record import JSON, Blob, Job
from coatcheck.retry import RetryPolicy
from coatcheck.table import items
from coatcheck.table.keys import JobKey
from coatcheck.types import Handler, JobType, handlers
from tests.rows import a_job
from worker.aws import Aws
from worker.run import run_job
from worker.sweep import sweep
from worker.tools import Tools, Verdict, system_clock


class Number(BaseModel):
    """What the handlers of these tests take and give."""

    n: int = 0


KEPT_IN_ROW = 384
"""Bytes of an input that goes into the row here."""


@dataclass
class Clock:
    """The machine's clock, with an offset the test moves."""

    ahead: int = 0

    def __call__(self) -> int:
        return system_clock() + self.ahead


@dataclass
class World:
    """One tenant's jobs, and a worker whose handler the test chooses."""

    door: Aws
    deployment: Deployment
    tenant: str
    clock: Clock = field(default_factory=Clock)

    def tools(self, run: Callable[..., Any], door: Aws | None = None, output: type[Any] = Number) -> Tools:
        policy = RetryPolicy(base=0, cap=0)
        job_type = JobType("test.job", Number, output, timeout=60, max_attempts=3, retry=policy)
        bound = handlers(Handler(job_type, run))
        return Tools(door or self.door, self.deployment, bound, self.clock, roll=lambda: 0.5)

    def submit(self, value: Any = None, **changes: Any) -> Job:
        now = self.clock()
        text = pack.to_json(value or {"n": 1})
        job = a_job(
            now=now,
            tenant=self.tenant,
            id=make_id("job", secrets.token_bytes(16)),
            input=Blob(len(text), hashlib.sha256(text).digest(), JSON),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
        )
        job = replace(job, **changes)
        if len(text) > KEPT_IN_ROW:
            key, bucket = blobs.input_key(job), self.deployment.bucket
            self.door.send(blobs.put(bucket, key, text, content_type=JSON, sha256=job.input.sha256))
        else:
            job = replace(job, input=Blob.of(text, JSON))
        assert self.door.send(items.put_job(self.deployment.table, job, now=now)) is None
        return job

    def row(self, job: Job) -> Job:
        found = self.door.send(items.get_job(self.deployment.table, JobKey(job.tenant, job.id)))
        assert found is not None
        return found

    def run(self, tools: Tools, job: Job) -> Verdict:
        return run_job(tools, JobMessage(tenant=job.tenant, job=job.id), last_words=_unheard)

    def sweep(self, tools: Tools) -> dict[str, int]:
        return dict(sweep(tools, until=self.clock() + 30 * SECOND))

    def stored(self, job: Job) -> list[str]:
        prefixes = blobs.job_prefixes(job.tenant, job.id)
        return [key for p in prefixes for key in self.door.send(blobs.keys_under(self.deployment.bucket, p))]


def _unheard(_: Verdict) -> None:
    raise AssertionError("the process was to be ended")


def double(value: Number, _: Context) -> Number:
    return Number(n=2 * value.n)
