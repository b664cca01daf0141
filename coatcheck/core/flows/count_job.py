"""What becomes of a job's part in the tallies of its tenant. Each is nothing for a job that is in none."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from coatcheck.core import tallies
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import usage_items
from coatcheck.core.aws.dynamodb.usage_items import Demand
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.flows.charge import give_back
from coatcheck.core.job import Blob, Job
from coatcheck.core.tallies import Count, Tally

log: logging.Logger = logging.getLogger(__name__)


def stopped_waiting(table: str, job: Job) -> Flow[None]:
    """The job was claimed for the first time, or ended before that."""
    if Tally.WAITING in job.counted:
        yield from give_back(table, job.tenant, tallies.waiting(job), of=tallies.named(job))


def claimed(table: str, job: Job) -> Flow[None]:
    """The job was claimed, for the first time or once more."""
    if job.attempt == 1:
        yield from stopped_waiting(table, job)


def stored(table: str, job: Job, blobs: Sequence[Blob], *, now: int) -> Flow[None]:
    """An attempt has put these into the bucket. They count before the job points to them: whatever ends in between."""
    size = _in_bucket(blobs)
    if Tally.STORED not in job.counted or not size:
        return
    demand = Demand((Count(Tally.STORED, size, now + job.retention),))
    try:
        yield from send(usage_items.charge(table, job.tenant, demand, now=now, full=True))
    except AwsError as error:
        log.warning("%s: %d bytes of tenant %s are not counted: %s", job.id, size, job.tenant, error)


def removed(table: str, job: Job) -> Flow[None]:
    """A finished job is about to be removed with all that it has in the bucket."""
    if Tally.STORED not in job.counted or job.expires_at is None:
        return
    made = [one.blob for one in (yield from all_artifacts(table, job))]
    size = _in_bucket([*made, *([job.result] if job.result else [])])
    yield from give_back(table, job.tenant, tallies.stored_input(job), of=f"input of {tallies.named(job)}")
    yield from give_back(table, job.tenant, Count(Tally.STORED, size, job.expires_at), of=tallies.named(job))


def _in_bucket(blobs: Sequence[Blob]) -> int:
    return sum(blob.size for blob in blobs if blob.inline is None)
