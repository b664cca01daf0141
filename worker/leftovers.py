"""The sweeper's part in removing bytes that nothing points to. What is missed, the bucket's lifecycle rules remove."""

from __future__ import annotations

import contextlib

from coatcheck import blobs
from coatcheck.calls import AwsError
from coatcheck.record import Job
from worker.settle import discard
from worker.tools import Tools


def discard_lost(tools: Tools, job: Job) -> None:
    """Remove what an attempt made whose worker is lost, and with it the upload that it may have been in."""
    discard(tools, job)
    with contextlib.suppress(AwsError):
        _abort(tools, blobs.attempt_prefix(job), job)


def remove_expired(tools: Tools, job: Job) -> None:
    """Remove all that a job which has expired left in the bucket. Raises AwsError."""
    bucket = tools.deployment.bucket
    for prefix in blobs.job_prefixes(job.tenant, job.id):
        while keys := _left(tools, job, prefix):
            tools.aws.send(blobs.delete(bucket, keys))
        _abort(tools, prefix, job)


def _left(tools: Tools, job: Job, prefix: str) -> list[str]:
    keys = tools.aws.send(blobs.keys_under(tools.deployment.bucket, prefix))
    return blobs.left_by(job, keys)


def _abort(tools: Tools, prefix: str, job: Job) -> None:
    bucket = tools.deployment.bucket
    for upload in tools.aws.send(blobs.unfinished_under(bucket, prefix)):
        if not job.done or blobs.left_by(job, [upload.key]):
            tools.aws.send(blobs.abort_multipart(bucket, upload.key, upload.upload_id))
