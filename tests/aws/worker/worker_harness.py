"""One tenant's jobs on real stores, and a worker whose handler the test chooses."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import RetryPolicy
from coatcheck.authoring.types import Handler, JobType
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import due, pack
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import JSON, Blob, Job
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import Settings
from coatcheck.core.tenant_limits import NO_LIMITS, TenantLimits
from coatcheck_worker.dependencies import Dependencies, Disposition
from coatcheck_worker.limits_cache import LimitsCache
from coatcheck_worker.supervisor.claim import AttemptCallback, run_job
from coatcheck_worker.sweep import sweep
from tests.direct_runners import DirectRunners
from tests.job_rows import make_job


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


class NoLimits(LimitsCache):
    """Knows without a read that there are none: the calls of a worker are those that its job needs."""

    def get(self, transport: Transport, table: str, tenant: str, *, now: int) -> TenantLimits:  # noqa: ARG002
        return NO_LIMITS


@dataclass
class WorkerHarness:
    """One tenant's jobs, and a worker whose handler the test chooses. It reads no limits, unless it is `limited`."""

    transport: Transport
    settings: Settings
    tenant: str
    clock: Clock = field(default_factory=Clock)
    limited: bool = False

    def dependencies(
        self, run: Callable[..., Any], transport: Transport | None = None, output: type[Any] = Number
    ) -> Dependencies:
        policy = RetryPolicy(base=0, cap=0)
        job_type = JobType("test.job", Number, output, timeout=60, max_attempts=3, retry=policy)
        used = transport or self.transport
        runners = DirectRunners({job_type.name: Handler(job_type, run)}, used, self.clock)
        limits = LimitsCache() if self.limited else NoLimits()
        return Dependencies(used, self.settings, self.clock, roll=lambda: 0.5, runners=runners, limits=limits)

    def submit(self, value: Any = None, **changes: Any) -> Job:
        now = self.clock()
        text = pack.to_json(value or {"n": 1})
        job = make_job(
            now=now,
            tenant=self.tenant,
            id=make_id("job", secrets.token_bytes(16)),
            input=Blob(len(text), hashlib.sha256(text).digest(), JSON),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
        )
        job = replace(job, **changes)
        if len(text) > KEPT_IN_ROW:
            key, bucket = s3_keys.input_key(job), self.settings.bucket
            self.transport.send(s3.put(bucket, key, text, content_type=JSON, sha256=job.input.sha256))
        else:
            job = replace(job, input=Blob.of(text, JSON))
        assert self.transport.send(job_items.put_job(self.settings.table, job, now=now)) is None
        return job

    def row(self, job: Job) -> Job:
        found = self.transport.send(job_items.get_job(self.settings.table, JobKey(job.tenant, job.id)))
        assert found is not None
        return found

    def run(self, dependencies: Dependencies, job: Job, on_attempt: AttemptCallback = lambda _: None) -> Disposition:
        message = JobMessage(tenant=job.tenant, job=job.id)
        return run_job(dependencies, message, on_attempt=on_attempt)

    def sweep(self, dependencies: Dependencies) -> dict[str, int]:
        return dict(sweep(dependencies, until=self.clock() + 30 * SECOND))

    def stored(self, job: Job) -> list[str]:
        prefixes = s3_keys.job_prefixes(job.tenant, job.id)
        return [key for p in prefixes for key in self.transport.send(s3.list_keys(self.settings.bucket, p))]


def is_claim(call: Call[Any]) -> bool:
    return "#owner = " in call.params.get("UpdateExpression", "")


def is_heartbeat(call: Call[Any]) -> bool:
    return call.urgent


def with_lease(dependencies: Dependencies, seconds: float) -> Dependencies:
    return replace(dependencies, settings=dependencies.settings.model_copy(update={"lease": seconds}))


def double(value: Number, _: Context) -> Number:
    return Number(n=2 * value.n)
