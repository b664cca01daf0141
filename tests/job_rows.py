"""The row of a job that tests begin with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coatcheck.core.clock import DAY, MINUTE
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import Status

NOW = 1_800_000_000_000


def make_job(*, now: int = NOW, **changes: Any) -> Job:
    """A job that was queued at `now`, but for `changes`."""
    job = Job(
        tenant="t",
        id="job_1",
        type="test.job",
        lane="default",
        status=Status.QUEUED,
        version=1,
        created_at=now,
        updated_at=now,
        attempt=0,
        max_attempts=3,
        timeout=MINUTE,
        retention=DAY,
        digest=b"d" * 32,
        input=Blob.of(b"{}", JSON),
        history=(JobEvent("job.queued", now),),
    )
    return replace(job, **changes)
