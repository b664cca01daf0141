"""Claim a job of a tenant whose running jobs are limited, or park it."""

from __future__ import annotations

from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.slots import Caps
from coatcheck.core.tenant_limits import TenantLimits
from coatcheck_worker.dependencies import Dependencies

MAX_TRIES = 5
"""Slots may be given back and taken all the time between a look and a write."""


def claim_or_park(
    dependencies: Dependencies, key: JobKey, limits: TenantLimits, *, owner: str
) -> transitions.TransitionOutcome:
    """Claim the job with a slot of its tenant, or park it if none is free.

    The claim of a job that was parked is refused, and so is one where others were faster each time. Raises AwsError.
    """
    settings, transport = dependencies.settings, dependencies.transport
    job: Job | None = None
    for _ in range(MAX_TRIES):
        job = transport.send(job_items.get_job(settings.table, key))
        if job is None or job.parked or job.status is Status.SCHEDULED:
            return transitions.TransitionRefused(job)
        now, caps = dependencies.clock(), Caps.of(limits, job.type)
        if not caps or job.slot is Slot.HELD or job.status is not Status.QUEUED:
            # it needs no slot, or was woken with one, or keeps that of the attempt whose lease has run out: as it was
            # read, since whoever ends the attempt meanwhile gives its slot back
            lease, version = settings.lease_ms, job.version
            claim = transitions.claim(settings.table, key, now=now, lease=lease, owner=owner, version=version)
            outcome = transport.send(claim)
            if _has_changed(outcome, version, owner):
                continue
            return outcome
        claimed = transport.send(
            transitions.claim_slot(settings.table, job, caps, now=now, lease=settings.lease_ms, owner=owner)
        )
        if not isinstance(claimed, transitions.SlotsChanged):
            return claimed
        parked = transport.send(transitions.park(settings.table, job, caps, now=now))
        if isinstance(parked, Job):
            return transitions.TransitionRefused(parked)
    return transitions.TransitionRefused(job)


def _has_changed(outcome: transitions.TransitionOutcome, version: int, owner: str) -> bool:
    """Whether a claim was refused because somebody else has changed the row since it was read."""
    if not isinstance(outcome, transitions.TransitionRefused) or outcome.job is None:
        return False
    return outcome.job.version != version and outcome.job.owner != owner
