"""What a change of a job tells: its metrics, from the row as it is after the write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.metrics.definitions import (
    ATTEMPTS,
    ATTEMPTS_FAILED,
    ATTEMPTS_STARTED,
    INPUT_BYTES,
    JOBS_ENDED,
    JOBS_FAILED,
    JOBS_SUBMITTED,
    QUEUE_TIME,
    RESULT_BYTES,
    RUN_TIME,
    TENANT_JOBS_ENDED,
)
from coatcheck.core.metrics.recorder import RECORDER, record

log: logging.Logger = logging.getLogger(__name__)

FAILURES: Mapping[Status, int] = {Status.SUCCEEDED: 0, Status.FAILED: 1, Status.TIMED_OUT: 1}
"""Whether a job that ended so counts as failed. One that was canceled, or never started, says nothing of its type."""


def job_changed(event: str, job: Job) -> None:
    """Record what `event` tells of the job, which is as it is after it. Raises nothing: whoever changed it goes on."""
    if not RECORDER.on:
        return
    try:
        _RECORD[event](job)
    except Exception:
        log.exception("the metrics of %s are not recorded", event)


def _submitted(job: Job) -> None:
    if job.version > 1:
        # it was scheduled, and is released now
        return
    record(JOBS_SUBMITTED, 1, job.type, job.lane)
    record(INPUT_BYTES, job.input.size, job.type, job.lane)


def _started(job: Job) -> None:
    record(ATTEMPTS_STARTED, 1, job.type, job.lane)
    if job.attempt == 1 and job.slot is Slot.NONE and job.started_at is not None:
        ready = max(job.created_at, job.run_at or 0)
        record(QUEUE_TIME, max(0, job.started_at - ready) / SECOND, job.type, job.lane)


def _attempt_failed(job: Job) -> None:
    error = job.history[-1].error if job.history else None
    if error is not None:
        record(ATTEMPTS_FAILED, 1, job.type, job.lane, error.code)


def _ended(job: Job) -> None:
    of_job = (job.type, job.lane, job.status)
    record(JOBS_ENDED, 1, *of_job)
    record(TENANT_JOBS_ENDED, 1, job.tenant, job.status)
    if job.status in FAILURES:
        record(JOBS_FAILED, FAILURES[job.status], *of_job)
    if job.claimed_at is None or job.finished_at is None:
        return
    if FAILURES.get(job.status):
        _attempt_failed(job)
    record(RUN_TIME, max(0, job.finished_at - job.claimed_at) / SECOND, *of_job)
    record(ATTEMPTS, job.counted_attempt, *of_job)
    if job.result is not None:
        record(RESULT_BYTES, job.result.size, *of_job)


def _nothing(_: Job) -> None:
    """Record nothing."""


_RECORD: Mapping[str, Callable[[Job], None]] = {
    "job.queued": _submitted,
    "job.scheduled": _submitted,
    "job.started": _started,
    "job.retrying": _attempt_failed,
    "job.continuing": _nothing,
    "job.canceling": _nothing,
    "job.succeeded": _ended,
    "job.failed": _ended,
    "job.canceled": _ended,
    "job.timed_out": _ended,
    "job.expired": _ended,
    "job.dead_lettered": _nothing,
    "job.deleted": _nothing,
}
