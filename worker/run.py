"""A message says: look at this job. Look, and do what its row asks for."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from coatcheck import due
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.record import Job
from coatcheck.table import moves
from coatcheck.table.keys import JobKey
from worker import settle, sweep
from worker.attempt import Attempt
from worker.tools import Again, Aside, Done, Tools, Verdict

Running = Callable[[Attempt | None], None]


def run_job(
    tools: Tools,
    message: JobMessage,
    *,
    deadline: int | None = None,
    last_words: Callable[[Verdict], None],
    running: Running = lambda _: None,
) -> Verdict:
    """Claim the job, run it and settle it; the one way, for the Lambda and for the polling process.

    `deadline` is when this process must be done, in milliseconds. `running` is told of the attempt while it runs,
    so that a signal can reach it. Raises AwsError when AWS is out of reach: the message then comes again, and the
    sweeper looks as well. Raises NewerRow for a job that only newer workers know how to treat.
    """
    key = JobKey(message.tenant, message.job)
    outcome = _claim(tools, key)
    if isinstance(outcome, moves.Refused):
        return _not_claimed(tools, key, outcome.job)
    handler = tools.handlers.get(outcome.type)
    if handler is None:
        return settle.left_for_others(tools, outcome)
    attempt = Attempt(tools, outcome, handler, deadline=deadline, last_words=last_words)
    running(attempt)
    try:
        return attempt.run()
    finally:
        running(None)


def _claim(tools: Tools, key: JobKey) -> moves.Outcome:
    owner = secrets.token_urlsafe(9)
    table, lease = tools.deployment.table, tools.deployment.lease_ms
    outcome = tools.aws.send(moves.claim(table, key, now=tools.clock(), lease=lease, owner=owner))
    if isinstance(outcome, moves.Refused) and _released(tools, key, outcome.job):
        outcome = tools.aws.send(moves.claim(table, key, now=tools.clock(), lease=lease, owner=owner))
    if isinstance(outcome, moves.Refused) and outcome.job and outcome.job.owner == owner:
        # our own claim: its reply was lost, and the SDK repeated it
        return outcome.job
    return outcome


def _released(tools: Tools, key: JobKey, job: Job | None) -> bool:
    if job is None or job.status is not Status.SCHEDULED or job.waiting_since_too_long(tools.clock()):
        return False
    return isinstance(tools.aws.send(moves.release(tools.deployment.table, key, now=tools.clock())), Job)


def _not_claimed(tools: Tools, key: JobKey, job: Job | None) -> Verdict:
    """What becomes of a message whose job cannot be claimed now."""
    if job is None:
        return Aside(f"names {key.id}, which is not there")
    if job.status in {Status.SCHEDULED, Status.QUEUED} and not job.waiting_since_too_long(tools.clock()):
        delay = due.message_delay(now=tools.clock(), start_at=job.start_at)
        return Done() if delay is None else Again(max(delay, 1))
    if job.done or (job.status is Status.RUNNING and job.attempt < job.max_attempts):
        # whoever holds it settles it, or the sweeper does: it alone may send what this function consumes
        return Done()
    sweep.attend(tools, job)
    return Done()
