"""Removing bytes that nothing points to. What is missed, the bucket's lifecycle rules remove."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.aws.dynamodb.purge_marks import mark_purged
from coatcheck.core.job import Job
from coatcheck_worker.dependencies import Dependencies

MAX_PAGES = 50
"""Pages of 1,000 objects that are removed at a time."""


class NotRemoved(Exception):
    """Some objects are left: S3 would not delete them, or they were too many for one go."""


def discard_attempt(dependencies: Dependencies, job: Job) -> None:
    """Remove what the attempt `job.attempt` made, which did not settle the job and never will."""
    with contextlib.suppress(AwsError, NotRemoved):
        _remove(dependencies, s3_keys.attempt_prefix(job), list)


def discard_lost_attempt(dependencies: Dependencies, job: Job) -> None:
    """Remove what an attempt made whose worker is lost, and with it the upload that it may have been in."""
    discard_attempt(dependencies, job)
    with contextlib.suppress(AwsError):
        for upload in _unfinished(dependencies, s3_keys.attempt_prefix(job)):
            _abort(dependencies, upload)


def remove_expired(dependencies: Dependencies, job: Job) -> None:
    """Remove all that a job which has expired left in the bucket. Raises AwsError and NotRemoved.

    What is beside its row goes by its own TTL, but for that of a job whose owner deletes it: a DELETE may have died.
    """
    if job_updates.is_purged(job):
        _remove_items(dependencies, job)
    for prefix in s3_keys.job_prefixes(job.tenant, job.id):
        _remove(dependencies, prefix, partial(s3_keys.keys_left_by, job))
        for upload in _unfinished(dependencies, prefix):
            if s3_keys.keys_left_by(job, [upload.key]):
                _abort(dependencies, upload)


def _remove_items(dependencies: Dependencies, job: Job) -> None:
    table = dependencies.settings.table
    if job.base_url:
        dependencies.transport.send(mark_purged(table, job, now=dependencies.clock()))
    for _ in range(MAX_PAGES):
        extra_items = dependencies.transport.send(job_items.list_job_items(table, job))
        if not extra_items:
            return
        dependencies.transport.send(job_items.delete_items(table, extra_items))
    raise NotRemoved(f"more than {MAX_PAGES} pages of items stand beside one row")


def _remove(dependencies: Dependencies, prefix: str, wanted: Callable[[Sequence[str]], list[str]]) -> None:
    bucket = dependencies.settings.bucket
    for _ in range(MAX_PAGES):
        keys = wanted(dependencies.transport.send(s3.list_keys(bucket, prefix)))
        if not keys:
            return
        not_deleted = dependencies.transport.send(s3.delete(bucket, keys))
        if not_deleted:
            raise NotRemoved(
                f"S3 does not delete {len(not_deleted)} objects: {', '.join(sorted(set(not_deleted.values())))}"
            )
    raise NotRemoved(f"more than {MAX_PAGES} pages of objects lie under one job")


def _unfinished(dependencies: Dependencies, prefix: str) -> Sequence[s3.MultipartUpload]:
    return dependencies.transport.send(s3.list_multipart_uploads(dependencies.settings.bucket, prefix))


def _abort(dependencies: Dependencies, upload: s3.MultipartUpload) -> None:
    dependencies.transport.send(s3.abort_multipart(dependencies.settings.bucket, upload.key, upload.upload_id))
