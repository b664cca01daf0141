"""Stopping a job."""

from __future__ import annotations

from coatcheck.calls import Call
from coatcheck.errors import CANCELED, AlreadyFinished, NotFound, Unavailable
from coatcheck.lifecycle import Status
from coatcheck.record import Job, JobError
from coatcheck.table import moves
from coatcheck.table.moves import Outcome, Refused
from service.caller import Caller
from service.jobs import kept

TRIES = 5
"""A job that was queued may be running a moment later: the row is asked again, but not for ever."""

BY_CLIENT = JobError(CANCELED.code, "The client canceled the job before it had started.")


async def cancel(caller: Caller, job: Job) -> Job:
    """The job, canceled or about to be. Raises AlreadyFinished when it ended before."""
    for _ in range(TRIES):
        if job.status in {Status.CANCELED, Status.CANCELING}:
            return job
        if job.done:
            raise AlreadyFinished(f"The job is {job.status}.")
        outcome = await caller.tools.aws.send(_stopping(caller, job))
        if not isinstance(outcome, Refused):
            return outcome
        if outcome.job is None:
            raise NotFound("There is no such job.")
        job = kept(outcome.job, caller.tools.clock())
    raise Unavailable("The job changes too fast at the moment.")


def _stopping(caller: Caller, job: Job) -> Call[Outcome]:
    table, now = caller.tools.table, caller.tools.clock()
    if job.status is Status.RUNNING:
        return moves.request_cancel(table, job, now=now)
    return moves.cancel_waiting(table, job, now=now, error=BY_CLIENT)
