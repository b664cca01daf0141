"""What a job is to work on: checked against its type, with every upload it names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from coatcheck import blobs
from coatcheck.clock import DAY, milliseconds
from coatcheck.errors import Flaw
from coatcheck.ids import is_id
from coatcheck.pack import to_json
from coatcheck.record import Job
from coatcheck.table import uploads
from coatcheck.table.keys import JobKey
from coatcheck.types import JobType
from service import flaws
from service.flaws import invalid, refused
from service.tools import Tools

MOST_UPLOADS = 100

UPLOAD_LIFE = DAY
"""Milliseconds between the announcement of an upload and the last submit that may name it."""

POINTER = "/input"


@dataclass(frozen=True, slots=True)
class Checked:
    """An input that its job type takes: as JSON, the very bytes that the worker will read; as its model has it; and
    the uploads that it names, each with where it does."""

    text: bytes
    meant: BaseModel
    uploads: Sequence[tuple[str, str]]


def checked(job_type: JobType[Any, Any], given: Any) -> Checked:
    """The input, checked against its type. Raises InvalidRequest with every flaw. Sends nothing."""
    text = to_json(given)
    try:
        meant = job_type.input.model_validate_json(text)
    except ValidationError as error:
        raise invalid(error, POINTER) from None
    named = list(islice(uploads_in(given, POINTER), MOST_UPLOADS + 1))
    if len(named) > MOST_UPLOADS:
        raise refused([Flaw(POINTER, f"names more than {MOST_UPLOADS} uploads")])
    return Checked(text, meant, named)


async def check_uploads(tools: Tools, tenant: str, named: Sequence[tuple[str, str]], *, needed_at: int) -> None:
    """Raises InvalidRequest with every upload in an input that is not there, or will not be when the job starts."""
    wrong = await asyncio.gather(*(_wrong_with(tools, tenant, upload, needed_at) for _, upload in named))
    if found := [Flaw(pointer, what) for (pointer, _), what in zip(named, wrong, strict=True) if what]:
        raise refused(found)


async def store(tools: Tools, job: Job, text: bytes) -> None:
    """Put an input in the bucket that is too large for the row. Raises InvalidRequest if it would not last there."""
    if job.input.inline is not None:
        return
    if job.start_at is not None and not _lasts(tools, since=job.created_at, until=job.start_at):
        raise refused([Flaw(POINTER, "is too large to be kept until the job starts: start it sooner")])
    key, content_type = blobs.input_key(job), job.input.content_type
    await tools.aws.send(blobs.put(tools.bucket, key, text, content_type=content_type, sha256=job.input.sha256))


def _lasts(tools: Tools, *, since: int, until: int) -> bool:
    """Whether what was put in the bucket at `since` is there at `until`: its lifecycle rule ends a day later still."""
    return until <= since + milliseconds(tools.deployment.max_retention)


_Place: TypeAlias = "tuple[_Place, str | int] | None"
"""Steps to a value, the last one in front: pointers are made of those that are told alone."""


def uploads_in(given: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every upload an input names, as `{"$upload": id}` anywhere in it, and where."""
    waiting: list[tuple[Any, _Place]] = [(given, None)]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, dict):
            if len(value) == 1 and isinstance(value.get("$upload"), str):
                yield pointer + _pointer(place), value["$upload"]
                continue
            children: Any = value.items()
        else:
            children = enumerate(value) if isinstance(value, list) else ()
        within = [(child, (place, step)) for step, child in children if isinstance(child, (dict, list))]
        waiting += reversed(within)


def _pointer(place: _Place) -> str:
    steps: list[str | int] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return flaws.pointer(steps[::-1])


async def _wrong_with(tools: Tools, tenant: str, upload_id: str, needed_at: int) -> str | None:
    if not is_id("upl", upload_id):
        return "is not the id of an upload"
    announced, stored = await asyncio.gather(
        tools.aws.send(uploads.get_upload(tools.table, JobKey(tenant, upload_id))),
        tools.aws.send(blobs.head(tools.bucket, blobs.upload_key(tenant, upload_id))),
    )
    if announced is None or tools.clock() >= announced.expires_at:
        return "names no upload that is still to be used"
    if stored is None:
        return f"names an upload that was announced, but not {'completed' if announced.multipart else 'sent'}"
    if stored.size != announced.size:
        return f"names an upload of which {stored.size} bytes were sent, not {announced.size}"
    if not _lasts(tools, since=announced.expires_at - UPLOAD_LIFE, until=needed_at):
        return "names an upload that will not be kept until the job starts"
    return None
