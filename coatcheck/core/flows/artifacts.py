"""The artifacts of a job, of all its legs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.job_items import ArtifactList
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.job import Artifact, Job


def all_artifacts(table: str, job: Job) -> Flow[Sequence[Artifact]]:
    """The artifacts that clients are shown, those of earlier legs first; this costs a read only if there are any.

    A name that several legs used is that of the last. Raises NewerRow.
    """
    if not job.has_artifacts:
        return ()
    if not job.legs.kept:
        return (yield from send(job_items.get_artifacts(table, job)))
    lists = yield from _lists(table, job)
    last = lists[job.attempt].made if job.artifact_count and job.attempt in lists else ()
    shown = {made.name: made for made in (*_of_earlier_legs(lists, job.legs.kept), *last)}
    return list(shown.values())


def _lists(table: str, job: Job) -> Flow[Mapping[int, ArtifactList]]:
    lists: dict[int, ArtifactList] = {}
    first, more = 1, True
    while more:
        page = yield from send(job_items.list_artifacts(table, job, first=first))
        lists |= {one.attempt: one for one in page.lists}
        first, more = max(lists, default=first) + 1, page.more
    return lists


def _of_earlier_legs(lists: Mapping[int, ArtifactList], kept: int) -> Sequence[Artifact]:
    """What the legs that ended in `Continue` made: each list names the one before it, and the row the last one.

    A list that is not named was written by an attempt that was taken over.
    """
    chain: list[ArtifactList] = []
    while kept in lists:
        chain.append(lists[kept])
        kept = lists[kept].earlier
    return [made for one in reversed(chain) for made in one.made]
