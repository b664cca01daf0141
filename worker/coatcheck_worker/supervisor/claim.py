"""Process a job's message: claim the job and run it, or decide what to do with the message."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import assert_never

from coatcheck.core import due
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.count_job import claimed
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck_worker.dependencies import Ack, DeadLetter, Dependencies, Disposition, Redeliver
from coatcheck_worker.supervisor import settle
from coatcheck_worker.supervisor.attempt import JobAttempt
from coatcheck_worker.supervisor.slots import claim_or_park

AttemptCallback = Callable[[JobAttempt | None], None]


def run_job(
    dependencies: Dependencies,
    message: JobMessage,
    *,
    deadline: int | None = None,
    on_attempt: AttemptCallback = lambda _: None,
) -> Disposition:
    """Claim the job, run it and settle it, both in Lambda and in the polling process.

    `deadline` is when this process must be done, in milliseconds. `on_attempt` gets the attempt while it runs, so that
    a signal can reach it. Raises AwsError when AWS is unavailable: the message then comes again, and the sweeper also
    checks the job. Raises NewerRow for a job that only newer workers understand.
    """
    key = JobKey(message.tenant, message.job)
    outcome = _claim(dependencies, key)
    if isinstance(outcome, transitions.TransitionRefused):
        return _disposition_of_unclaimed(dependencies, key, outcome.job)
    if outcome.type not in dependencies.runners.served:
        run(dependencies.transport, claimed(dependencies.settings.table, outcome))
        return settle.requeue_unknown_type(dependencies, outcome)
    attempt = JobAttempt(dependencies, outcome, deadline=deadline)
    on_attempt(attempt)
    try:
        return attempt.run()
    finally:
        on_attempt(None)


def _claim(dependencies: Dependencies, key: JobKey) -> transitions.TransitionOutcome:
    owner = secrets.token_urlsafe(9)
    outcome = _try_claim(dependencies, key, owner)
    if isinstance(outcome, transitions.TransitionRefused) and _release_if_due(dependencies, key, outcome.job):
        outcome = _try_claim(dependencies, key, owner)
    if isinstance(outcome, transitions.TransitionRefused) and outcome.job and outcome.job.owner == owner:
        # this is our own claim: its reply was lost, and the SDK repeated it
        return outcome.job
    return outcome


def _try_claim(dependencies: Dependencies, key: JobKey, owner: str) -> transitions.TransitionOutcome:
    transport, settings = dependencies.transport, dependencies.settings
    limits = dependencies.limits.get(transport, settings.table, key.tenant, now=dependencies.clock())
    if limits.caps_running:
        return claim_or_park(dependencies, key, limits, owner=owner)
    # the lease begins now: reading the limits may have taken as long as one
    claim = transitions.claim(settings.table, key, now=dependencies.clock(), lease=settings.lease_ms, owner=owner)
    return transport.send(claim)


def _release_if_due(dependencies: Dependencies, key: JobKey, job: Job | None) -> bool:
    if job is None or job.status is not Status.SCHEDULED or job.queue_ttl_passed(dependencies.clock()):
        return False
    return isinstance(
        dependencies.transport.send(transitions.release(dependencies.settings.table, key, now=dependencies.clock())),
        Job,
    )


def _disposition_of_unclaimed(dependencies: Dependencies, key: JobKey, job: Job | None) -> Disposition:
    """The disposition of a message whose job cannot be claimed now."""
    if job is None:
        return DeadLetter(f"names {key.id}, which is not there")
    if job.parked:
        # it is sent another message when it is woken
        return Ack()
    match job.status:
        case Status.SCHEDULED | Status.QUEUED if not job.queue_ttl_passed(dependencies.clock()):
            delay = due.message_delay(now=dependencies.clock(), start_at=job.start_at)
            return Ack() if delay is None else Redeliver(max(delay, 1))
        case Status.RUNNING if job.attempt < job.max_attempts:
            # its holder settles it, or the sweeper does: only the sweeper may send what this function consumes
            return Ack()
        case Status.SCHEDULED | Status.QUEUED | Status.RUNNING | Status.CANCELING:
            from coatcheck_worker.sweep import process_job  # noqa: PLC0415 - rare, and a quarter of what a worker loads

            process_job(dependencies, job)
            return Ack()
        case Status.SUCCEEDED | Status.FAILED | Status.CANCELED | Status.TIMED_OUT | Status.EXPIRED:
            return Ack()
        case _:
            assert_never(job.status)
