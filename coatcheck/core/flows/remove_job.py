"""Remove what belongs to a job except its row: the items beside it, and the objects in the bucket."""

from __future__ import annotations

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.purge_marks import mark_purged
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.job import Job

MAX_ROUNDS = 50
"""Pages of items, or of 1,000 objects, removed at a time: a limit, in case S3 does not delete some objects."""


class NotRemoved(Exception):
    """Something is left: S3 did not delete it, or it was too much for one run."""


def remove_items(table: str, job: Job, *, now: int) -> Flow[None]:
    """Remove the items beside the row of a purged job. Raises AwsError and NotRemoved.

    The mark is written first: a delivery that is not found among the items is created after the mark, and its deliverer
    finds the mark. A job without a base URL has no webhooks, so there are no deliveries.
    """
    if job.base_url:
        yield from send(mark_purged(table, job, now=now))
    for _ in range(MAX_ROUNDS):
        keys = yield from send(job_items.list_job_items(table, job))
        if not keys:
            return
        yield from send(job_items.delete_items(table, keys))
    raise NotRemoved(f"more than {MAX_ROUNDS} pages of items stand beside one row")


def remove_artifact_lists(table: str, job: Job) -> Flow[None]:
    """Remove the lists of artifacts beside the row. Raises AwsError and NotRemoved."""
    for _ in range(MAX_ROUNDS):
        keys = yield from send(job_items.artifact_list_keys(table, job))
        if not keys:
            return
        yield from send(job_items.delete_items(table, keys))
    raise NotRemoved(f"more than {MAX_ROUNDS} pages of lists of artifacts stand beside one row")


def remove_objects(bucket: str, prefix: str, *, left_by: Job | None = None) -> Flow[None]:
    """Remove the objects under a prefix; with `left_by`, only those to be removed when that job has expired.

    Raises AwsError and NotRemoved.
    """
    for _ in range(MAX_ROUNDS):
        keys = yield from send(s3.list_keys(bucket, prefix))
        if left_by is not None:
            keys = s3_keys.keys_left_by(left_by, keys)
        if not keys:
            return
        not_deleted = yield from send(s3.delete(bucket, keys))
        if not_deleted:
            codes = ", ".join(sorted(set(not_deleted.values())))
            raise NotRemoved(f"S3 does not delete {len(not_deleted)} objects: {codes}")
    raise NotRemoved(f"more than {MAX_ROUNDS} pages of objects lie under one job")
