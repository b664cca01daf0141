"""Remove bytes that nothing points to. The bucket's lifecycle rules remove what is missed here."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.remove_job import NotRemoved, remove_artifact_lists, remove_items, remove_objects
from coatcheck.core.job import Job
from coatcheck_worker.dependencies import Dependencies


def discard_attempt(dependencies: Dependencies, job: Job) -> None:
    """Remove what the attempt `job.attempt` made, which did not settle the job and never will."""
    with contextlib.suppress(AwsError, NotRemoved):
        run(dependencies.transport, remove_objects(dependencies.settings.bucket, s3_keys.attempt_prefix(job)))


def discard_lost_attempt(dependencies: Dependencies, job: Job) -> None:
    """Remove what the attempt of a lost worker made, also a multipart upload that it may have left open."""
    discard_attempt(dependencies, job)
    with contextlib.suppress(AwsError):
        for upload in _unfinished(dependencies, s3_keys.attempt_prefix(job)):
            _abort(dependencies, upload)


def remove_expired(dependencies: Dependencies, job: Job) -> None:
    """Remove all that an expired job left in the bucket. Raises AwsError and NotRemoved.

    Other items of the job go by their own TTL, except for a job whose owner deletes it: a DELETE may have died. The TTL
    of a list of artifacts between two legs is long, since nobody knew when the job would end.
    """
    settings, transport = dependencies.settings, dependencies.transport
    if job_updates.is_purged(job):
        run(transport, remove_items(settings.table, job, now=dependencies.clock()))
    elif job.legs.kept:
        run(transport, remove_artifact_lists(settings.table, job))
    for prefix in s3_keys.job_prefixes(job.tenant, job.id):
        run(transport, remove_objects(settings.bucket, prefix, left_by=job))
        for upload in _unfinished(dependencies, prefix):
            if s3_keys.keys_left_by(job, [upload.key]):
                _abort(dependencies, upload)


def _unfinished(dependencies: Dependencies, prefix: str) -> Sequence[s3.MultipartUpload]:
    return dependencies.transport.send(s3.list_multipart_uploads(dependencies.settings.bucket, prefix))


def _abort(dependencies: Dependencies, upload: s3.MultipartUpload) -> None:
    dependencies.transport.send(s3.abort_multipart(dependencies.settings.bucket, upload.key, upload.upload_id))
