"""The pass over jobs of which only bytes are left: it removes those whose retention is over."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial

from coatcheck.core import due
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import HOUR
from coatcheck.core.flows.remove_job import NotRemoved
from coatcheck.core.job import Job
from coatcheck_worker import orphans
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep.due_pages import DuePages
from coatcheck_worker.sweep.due_rows import due_rows, in_time

log = logging.getLogger(__name__)

NOT_REMOVED = "not removed"

RETRY_AFTER = HOUR
"""When the removal of bytes that could not be removed is retried."""


def process_due(dependencies: Dependencies, pages: DuePages[JobKey], *, until: int, fraction: float) -> Counter[str]:  # noqa: ARG001 - one form for all passes
    """Process the jobs of the pages until the time `until`."""
    done: Counter[str] = Counter()
    for jobs in due_rows(dependencies, pages):
        done.update(dependencies.parallel_map(partial(in_time, dependencies, until, _remove), jobs))
    return done


def _remove(dependencies: Dependencies, job: Job) -> str:
    now = dependencies.clock()
    if not job.done or job.due_at is None or job.due_at > now:
        return "early"
    if not job.gone(now):
        what, due_at = "early", due.for_removal(job)
    else:
        what, due_at = _remove_bytes(dependencies, job, now)
    dependencies.transport.send(
        job_updates.postpone(dependencies.settings.table, job, due_at=due_at, dispatches=job.dispatches)
    )
    return what


def _remove_bytes(dependencies: Dependencies, job: Job, now: int) -> tuple[str, int | None]:
    try:
        orphans.remove_expired(dependencies, job)
    except (AwsError, NotRemoved) as error:
        log.error("the bytes of %s are not removed, and are tried again in an hour: %s", job.id, error)  # noqa: TRY400 - it says all
        return NOT_REMOVED, now + RETRY_AFTER
    return "removed", due.for_late_writes(job, now=now)
