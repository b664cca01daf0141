"""Cancels a job."""

from __future__ import annotations

from typing import assert_never

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.transitions import TransitionOutcome, TransitionRefused
from coatcheck.core.aws.flow import run_async
from coatcheck.core.errors import CANCELED, AlreadyFinished, Unavailable
from coatcheck.core.flows.count_job import stopped_waiting
from coatcheck.core.flows.notify import notify_deliverer
from coatcheck.core.job import Job, JobError
from coatcheck.core.lifecycle import Status
from coatcheck_service.actions.job_lookup import job_not_found, require_retained
from coatcheck_service.http.authentication import RequestContext

MAX_TRIES = 5
"""A queued job may be running a moment later: the write is tried again with the new row, but not for ever."""

CANCELED_BY_CLIENT = JobError(CANCELED.code, "The client canceled the job before it started.")


CANCELED_BY_OPERATOR = JobError(CANCELED.code, "An operator canceled the job before it started.")


async def cancel(context: RequestContext, job: Job, *, reason: JobError = CANCELED_BY_CLIENT) -> Job:
    """Cancel the job and return it, canceled or canceling. `reason` is what a job that waits is told.

    Raises AlreadyFinished when it has ended already, NotFound and Gone when it is no longer kept, and Unavailable after
    `MAX_TRIES`.
    """
    for _ in range(MAX_TRIES):
        call = _cancel_call(context, job, reason)
        if call is None:
            return job
        outcome = await context.dependencies.transport.send(call)
        if not isinstance(outcome, TransitionRefused):
            if outcome.done and outcome.attempt == 0:
                await run_async(context.dependencies.transport, stopped_waiting(context.dependencies.table, outcome))
            await run_async(context.dependencies.transport, notify_deliverer(context.dependencies.settings, outcome))
            return outcome
        if outcome.job is None:
            raise job_not_found(job.id)
        job = require_retained(outcome.job, context.dependencies.clock())
    raise Unavailable(f"{job.id} is changing too fast to be canceled: try again.")


def _cancel_call(context: RequestContext, job: Job, reason: JobError) -> Call[TransitionOutcome] | None:
    """The write that cancels the job; None when it is canceled or canceling. Raises AlreadyFinished."""
    table, now = context.dependencies.table, context.dependencies.clock()
    match job.status:
        case Status.SCHEDULED | Status.QUEUED:
            return transitions.cancel_waiting(table, job, now=now, error=reason)
        case Status.RUNNING:
            return transitions.request_cancel(table, job, now=now)
        case Status.CANCELING | Status.CANCELED:
            return None
        case Status.SUCCEEDED | Status.FAILED | Status.TIMED_OUT | Status.EXPIRED:
            raise AlreadyFinished(f"{job.id} is already {job.status}: there is nothing to cancel.")
        case _:
            assert_never(job.status)
