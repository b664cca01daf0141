"""The sweeper's part in removing bytes that nothing points to. What is missed, the bucket's lifecycle rules remove."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from coatcheck import blobs
from coatcheck.calls import AwsError
from coatcheck.record import Job
from coatcheck.table import items, notes
from coatcheck.table.purged import mark_purged
from worker.settle import discard
from worker.tools import Tools


def discard_lost(tools: Tools, job: Job) -> None:
    """Remove what an attempt made whose worker is lost, and with it the upload that it may have been in."""
    discard(tools, job)
    with contextlib.suppress(AwsError):
        for upload in _unfinished(tools, blobs.attempt_prefix(job)):
            _abort(tools, upload)


def remove_expired(tools: Tools, job: Job) -> None:
    """Remove all that a job which has expired left in the bucket. Raises AwsError.

    What is beside its row goes by its own TTL, but for that of a job whose owner deletes it: a DELETE may have died.
    """
    if notes.forgotten(job):
        _remove_items(tools, job)
    bucket = tools.deployment.bucket
    for prefix in blobs.job_prefixes(job.tenant, job.id):
        while keys := _left(tools, job, prefix):
            tools.aws.send(blobs.delete(bucket, keys))
        for upload in _unfinished(tools, prefix):
            if blobs.left_by(job, [upload.key]):
                _abort(tools, upload)


def _remove_items(tools: Tools, job: Job) -> None:
    table = tools.deployment.table
    if job.base_url:
        tools.aws.send(mark_purged(table, job, now=tools.clock()))
    while beside := tools.aws.send(items.items_beside(table, job)):
        tools.aws.send(items.delete_items(table, beside))


def _left(tools: Tools, job: Job, prefix: str) -> list[str]:
    keys = tools.aws.send(blobs.keys_under(tools.deployment.bucket, prefix))
    return blobs.left_by(job, keys)


def _unfinished(tools: Tools, prefix: str) -> Sequence[blobs.Unfinished]:
    return tools.aws.send(blobs.unfinished_under(tools.deployment.bucket, prefix))


def _abort(tools: Tools, upload: blobs.Unfinished) -> None:
    tools.aws.send(blobs.abort_multipart(tools.deployment.bucket, upload.key, upload.upload_id))
