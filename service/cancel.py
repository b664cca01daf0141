"""Stopping a job."""

from __future__ import annotations

from coatcheck.calls import Call
from coatcheck.deployment import WEBHOOKS
from coatcheck.errors import CANCELED, AlreadyFinished, NotFound, Unavailable
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.queues import send_job
from coatcheck.record import Job, JobError
from coatcheck.table import moves
from coatcheck.table.moves import Outcome, Refused
from coatcheck.webhooks import unannounced
from service.caller import Caller
from service.jobs import kept
from service.tools import Tools
from service.waking import wake

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
            await _tell(caller.tools, outcome)
            return outcome
        if outcome.job is None:
            raise NotFound("There is no such job.")
        job = kept(outcome.job, caller.tools.clock())
    raise Unavailable("The job changes too fast at the moment.")


async def _tell(tools: Tools, job: Job) -> None:
    """Wake a deliverer, if somebody wants to be told that the job has ended."""
    if unannounced(job):
        message = JobMessage(tenant=job.tenant, job=job.id)
        await wake(tools, send_job(tools.deployment.queues[WEBHOOKS], message), job.id)


def _stopping(caller: Caller, job: Job) -> Call[Outcome]:
    table, now = caller.tools.table, caller.tools.clock()
    if job.status is Status.RUNNING:
        return moves.request_cancel(table, job, now=now)
    return moves.cancel_waiting(table, job, now=now, error=BY_CLIENT)
