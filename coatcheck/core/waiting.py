"""Why a job waits, as far as its row says it."""

from __future__ import annotations

from enum import StrEnum

from coatcheck.core.job import Job
from coatcheck.core.lifecycle import RETRY, Status


class WaitingReason(StrEnum):
    """Why a job that could not start yet waits."""

    QUEUE = "queue"
    """A worker takes it when one is free."""

    DELAY = "delay"
    """It is to start later: its `run_at` or `delay` says so."""

    RETRY = "retry"
    """An attempt failed, and the next one comes after a pause."""

    TENANT_LIMIT = "tenant-limit"
    """As many jobs of its tenant, or of its type, run as may run at once."""

    NO_WORKER = "no-worker"
    """No worker that has received it has a handler for its type."""


def waiting_reason(job: Job) -> WaitingReason | None:
    """Why the job waits; None for one that does not."""
    if not job.status.waiting:
        return None
    if job.parked:
        return WaitingReason.TENANT_LIMIT
    if job.status is Status.SCHEDULED:
        return WaitingReason.DELAY
    if job.type_missed_at is not None:
        return WaitingReason.NO_WORKER
    retried = bool(job.history) and job.history[-1].type == RETRY.event
    return WaitingReason.RETRY if retried else WaitingReason.QUEUE
