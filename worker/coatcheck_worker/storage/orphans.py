"""Removing bytes that nothing points to. What is missed, the bucket's lifecycle rules remove."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.remove_job import NotRemoved, remove_items, remove_objects
from coatcheck.core.job import Job
from coatcheck_worker.dependencies import Dependencies


def discard_attempt(dependencies: Dependencies, job: Job) -> None:
    """Remove what the attempt `job.attempt` made, which did not settle the job and never will."""
    with contextlib.suppress(AwsError, NotRemoved):
        run(dependencies.transport, remove_objects(dependencies.settings.bucket, s3_keys.attempt_prefix(job)))


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
    settings, transport = dependencies.settings, dependencies.transport
    if job_updates.is_purged(job):
        run(transport, remove_items(settings.table, job, now=dependencies.clock()))
    for prefix in s3_keys.job_prefixes(job.tenant, job.id):
        run(transport, remove_objects(settings.bucket, prefix, left_by=job))
        for upload in _unfinished(dependencies, prefix):
            if s3_keys.keys_left_by(job, [upload.key]):
                _abort(dependencies, upload)


def _unfinished(dependencies: Dependencies, prefix: str) -> Sequence[s3.MultipartUpload]:
    return dependencies.transport.send(s3.list_multipart_uploads(dependencies.settings.bucket, prefix))


def _abort(dependencies: Dependencies, upload: s3.MultipartUpload) -> None:
    dependencies.transport.send(s3.abort_multipart(dependencies.settings.bucket, upload.key, upload.upload_id))
