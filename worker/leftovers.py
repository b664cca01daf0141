"""Removing bytes that nothing points to. What is missed, the bucket's lifecycle rules remove."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from coatcheck import blobs
from coatcheck.calls import AwsError
from coatcheck.record import Job
from coatcheck.table import items, notes
from coatcheck.table.purged import mark_purged
from worker.tools import Tools

MOST_PAGES = 50
"""Pages of 1,000 objects that are removed at a time."""


class NotRemoved(Exception):
    """Some objects are left: S3 would not delete them, or they were too many for one go."""


def discard(tools: Tools, job: Job) -> None:
    """Remove what the attempt `job.attempt` made, which did not settle the job and never will."""
    with contextlib.suppress(AwsError, NotRemoved):
        _remove(tools, blobs.attempt_prefix(job), list)


def discard_lost(tools: Tools, job: Job) -> None:
    """Remove what an attempt made whose worker is lost, and with it the upload that it may have been in."""
    discard(tools, job)
    with contextlib.suppress(AwsError):
        for upload in _unfinished(tools, blobs.attempt_prefix(job)):
            _abort(tools, upload)


def remove_expired(tools: Tools, job: Job) -> None:
    """Remove all that a job which has expired left in the bucket. Raises AwsError and NotRemoved.

    What is beside its row goes by its own TTL, but for that of a job whose owner deletes it: a DELETE may have died.
    """
    if notes.forgotten(job):
        _remove_items(tools, job)
    for prefix in blobs.job_prefixes(job.tenant, job.id):
        _remove(tools, prefix, partial(blobs.left_by, job))
        for upload in _unfinished(tools, prefix):
            if blobs.left_by(job, [upload.key]):
                _abort(tools, upload)


def _remove_items(tools: Tools, job: Job) -> None:
    table = tools.deployment.table
    if job.base_url:
        tools.aws.send(mark_purged(table, job, now=tools.clock()))
    for _ in range(MOST_PAGES):
        beside = tools.aws.send(items.items_beside(table, job))
        if not beside:
            return
        tools.aws.send(items.delete_items(table, beside))
    raise NotRemoved(f"more than {MOST_PAGES} pages of items stand beside one row")


def _remove(tools: Tools, prefix: str, wanted: Callable[[Sequence[str]], list[str]]) -> None:
    bucket = tools.deployment.bucket
    for _ in range(MOST_PAGES):
        keys = wanted(tools.aws.send(blobs.keys_under(bucket, prefix)))
        if not keys:
            return
        stay = tools.aws.send(blobs.delete(bucket, keys))
        if stay:
            raise NotRemoved(f"S3 does not delete {len(stay)} objects: {', '.join(sorted(set(stay.values())))}")
    raise NotRemoved(f"more than {MOST_PAGES} pages of objects lie under one job")


def _unfinished(tools: Tools, prefix: str) -> Sequence[blobs.Unfinished]:
    return tools.aws.send(blobs.unfinished_under(tools.deployment.bucket, prefix))


def _abort(tools: Tools, upload: blobs.Unfinished) -> None:
    tools.aws.send(blobs.abort_multipart(tools.deployment.bucket, upload.key, upload.upload_id))
