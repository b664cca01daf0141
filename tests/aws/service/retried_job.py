"""A job with a history of many events."""

from __future__ import annotations

import time

from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.history import put_history_page
from coatcheck.core.clock import system_clock
from coatcheck.core.job import Job, JobError
from tests.aws.service.running_service import Api

LOST = JobError("worker-lost", "The worker died.")


def retried_job(api: Api, retries: int, *, job_id: str | None = None, pause: float = 0) -> Job:
    """Run a job to its success after so many retries, `pause` seconds apart: 2 * `retries` + 3 events."""
    aws, table = api.running_service.worker, api.running_service.settings.table
    job_id = job_id or api.submit()["id"]
    for _ in range(retries):
        job, now = api.claim(job_id), system_clock()
        if transitions.must_spill(job):
            aws.send(put_history_page(table, job))
        aws.send(transitions.retry(table, job, now=now, start_at=now, error=LOST, counted=False))
        time.sleep(pause)
    return api.settle(api.claim(job_id))
