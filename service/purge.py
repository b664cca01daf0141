"""Deleting a job with all that is kept of it."""

from __future__ import annotations

from dataclasses import replace

from coatcheck import blobs
from coatcheck.errors import NotFinished, Unavailable
from coatcheck.record import Job
from coatcheck.table import items, notes
from coatcheck.table.purged import mark_purged
from service.caller import Caller
from service.tools import Tools

MOST_ROUNDS = 50
"""How often the items or the objects of a job are looked for that are left: what S3 keeps is not asked for for ever."""


async def purge(caller: Caller, job: Job) -> None:
    """Forget a finished job now. Raises NotFinished, and Unavailable when something of it cannot be removed yet.

    The row goes first: if we die in between, it must not promise bytes that are gone. The rest is then removed by
    the sweeper, or when the client, who has no answer, repeats the call. The mark goes before the deliveries: one that
    is not found among them is made after it, and finds it.
    """
    tools = caller.tools
    if not job.done:
        raise NotFinished(f"The job is {job.status}.")
    now = tools.clock()
    if not job.gone(now):
        outcome = await tools.aws.send(notes.forget_job(tools.table, job, now=now))
        # refused, it was forgotten before, by a first try whose reply was lost or by another caller, and the next job
        # under its id may be there: only its own things go
        ended_at = outcome.expires_at if isinstance(outcome, Job) else job.created_at + 1
        job = replace(job, expires_at=ended_at)
    # with a base URL somebody was to be told of it: there may be deliveries, and one may just be being made
    if job.base_url:
        await tools.aws.send(mark_purged(tools.table, job, now=now))
    if job.artifact_count or job.history_from > 1 or job.base_url or job.gone(now):
        await _remove_items(tools, job)
    for prefix in blobs.job_prefixes(job.tenant, job.id):
        await _remove_objects(tools, job, prefix)


async def _remove_items(tools: Tools, job: Job) -> None:
    for _ in range(MOST_ROUNDS):
        beside = await tools.aws.send(items.items_beside(tools.table, job))
        if not beside:
            return
        await tools.aws.send(items.delete_items(tools.table, beside))
    raise _unfinished()


async def _remove_objects(tools: Tools, job: Job, prefix: str) -> None:
    for _ in range(MOST_ROUNDS):
        keys = await _left(tools, job, prefix)
        if not keys:
            return
        if await tools.aws.send(blobs.delete(tools.bucket, keys)):
            break
    raise _unfinished()


def _unfinished() -> Unavailable:
    return Unavailable("The job is forgotten; not all that belongs to it could be removed yet. The rest follows.")


async def _left(tools: Tools, job: Job, prefix: str) -> list[str]:
    keys = await tools.aws.send(blobs.keys_under(tools.bucket, prefix))
    return blobs.left_by(job, keys)
