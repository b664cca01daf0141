"""The pass over jobs of which nothing but bytes is left: those whose retention is over lose them."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial

from coatcheck import due
from coatcheck.calls import AwsError
from coatcheck.clock import HOUR
from coatcheck.record import Job
from coatcheck.table import notes
from coatcheck.table.keys import JobKey
from worker import leftovers
from worker.leftovers import NotRemoved
from worker.sweep.pages import DuePages
from worker.sweep.rows import due_rows, in_time
from worker.tools import Tools

log = logging.getLogger(__name__)

NOT_REMOVED = "not removed"

AGAIN_AFTER = HOUR
"""When bytes that could not be removed are tried again."""


def attend_to(tools: Tools, pages: DuePages[JobKey], *, until: int, part: float) -> Counter[str]:  # noqa: ARG001 - one form for all passes
    """Attend to the jobs of the pages until the time `until`."""
    done: Counter[str] = Counter()
    for jobs in due_rows(tools, pages):
        done.update(tools.side_by_side(partial(in_time, tools, until, _remove), jobs))
    return done


def _remove(tools: Tools, job: Job) -> str:
    now = tools.clock()
    if not job.done or job.due_at is None or job.due_at > now:
        return "early"
    if not job.gone(now):
        what, due_at = "early", due.for_removal(job)
    else:
        what, due_at = _remove_bytes(tools, job, now)
    tools.aws.send(notes.postpone(tools.deployment.table, job, due_at=due_at, dispatches=job.dispatches))
    return what


def _remove_bytes(tools: Tools, job: Job, now: int) -> tuple[str, int | None]:
    try:
        leftovers.remove_expired(tools, job)
    except (AwsError, NotRemoved) as error:
        log.error("the bytes of %s are not removed, and are tried again in an hour: %s", job.id, error)  # noqa: TRY400 - it says all
        return NOT_REMOVED, now + AGAIN_AFTER
    return "removed", None
