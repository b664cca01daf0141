"""Checks the input of a job against its type, and every upload that the input names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from coatcheck.authoring.types import JobType
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import upload_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import DAY, milliseconds
from coatcheck.core.errors import FieldError
from coatcheck.core.ids import is_id
from coatcheck.core.job import Job
from coatcheck.core.pack import to_json
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http import field_errors
from coatcheck_service.http.field_errors import invalid_request, invalid_request_from

MAX_UPLOADS = 100

UPLOAD_TTL = DAY
"""Milliseconds between the creation of an upload and the last submit that may name it."""

INPUT_POINTER = "/input"


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """An input that its job type accepts.

    `text` is its JSON, exactly the bytes that the worker will read; `model` is the parsed input; `uploads` holds
    a pointer into the input and the upload's id for each upload that the input names.
    """

    text: bytes
    model: BaseModel
    uploads: Sequence[tuple[str, str]]


def check_input(job_type: JobType[Any, Any], given: Any) -> CheckedInput:
    """Check the input against its type. Raises InvalidRequest with the field errors. Sends nothing."""
    text = to_json(given)
    try:
        model = job_type.input.model_validate_json(text)
    except ValidationError as error:
        raise invalid_request_from(error, INPUT_POINTER) from None
    references = list(islice(referenced_uploads(given, INPUT_POINTER), MAX_UPLOADS + 1))
    if len(references) > MAX_UPLOADS:
        raise invalid_request([FieldError(INPUT_POINTER, f"names more than {MAX_UPLOADS} uploads")])
    return CheckedInput(text, model, references)


async def check_uploads(
    dependencies: Dependencies, tenant: str, references: Sequence[tuple[str, str]], *, needed_at: int
) -> None:
    """Check the uploads that an input names.

    Raises InvalidRequest with every upload that is not there, or will not be at `needed_at`.
    """
    if not references:
        return
    messages = await asyncio.gather(
        *(_upload_error(dependencies, tenant, upload, needed_at) for _, upload in references)
    )
    if found := [FieldError(pointer, what) for (pointer, _), what in zip(references, messages, strict=True) if what]:
        raise invalid_request(found)


def check_input_is_kept(dependencies: Dependencies, job: Job) -> None:
    """Raises InvalidRequest if the input goes into the bucket, which would not keep it until the job starts."""
    if job.input.inline is not None or job.start_at is None:
        return
    if not _is_retained(dependencies, since=job.created_at, until=job.start_at):
        raise invalid_request(
            [FieldError(INPUT_POINTER, "is too large to be kept until the job starts: start it sooner")]
        )


async def store_input(dependencies: Dependencies, job: Job, text: bytes) -> None:
    """Put an input that is too large for the row into the bucket."""
    if job.input.inline is not None:
        return
    key, content_type = s3_keys.input_key(job), job.input.content_type
    await dependencies.transport.send(
        s3.put(dependencies.bucket, key, text, content_type=content_type, sha256=job.input.sha256)
    )


def _is_retained(dependencies: Dependencies, *, since: int, until: int) -> bool:
    """Whether an object put in the bucket at `since` is still there at `until`.

    The bucket's lifecycle rule deletes it a day later still.
    """
    return until <= since + milliseconds(dependencies.settings.max_retention)


_Location: TypeAlias = "tuple[_Location, str | int] | None"
"""The path to a value, the last step in front. Only those that are reported become pointers."""


def referenced_uploads(given: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield the pointer and the id of every upload that an input names, as `{"$upload": id}` anywhere in it."""
    stack: list[tuple[Any, _Location]] = [(given, None)]
    while stack:
        value, location = stack.pop()
        if isinstance(value, dict):
            if len(value) == 1 and isinstance(value.get("$upload"), str):
                yield pointer + _pointer(location), value["$upload"]
                continue
            children: Any = value.items()
        else:
            children = enumerate(value) if isinstance(value, list) else ()
        nested = [(child, (location, token)) for token, child in children if isinstance(child, (dict, list))]
        stack += reversed(nested)


def _pointer(location: _Location) -> str:
    tokens: list[str | int] = []
    while location is not None:
        location, token = location
        tokens.append(token)
    return field_errors.pointer(tokens[::-1])


async def _upload_error(dependencies: Dependencies, tenant: str, upload_id: str, needed_at: int) -> str | None:
    if not is_id("upl", upload_id):
        return "is not the id of an upload"
    announced, s3_head = await asyncio.gather(
        dependencies.transport.send(upload_items.get_upload(dependencies.table, JobKey(tenant, upload_id))),
        dependencies.transport.send(s3.head(dependencies.bucket, s3_keys.upload_key(tenant, upload_id))),
    )
    if announced is None or dependencies.clock() >= announced.expires_at:
        return "names an upload that does not exist or has expired: upload the file again"
    if s3_head is None:
        return f"names an upload that was created, but not {'completed' if announced.multipart else 'sent'}"
    if s3_head.size != announced.size:
        return f"names an upload for which {s3_head.size} bytes were sent, not {announced.size}"
    if not _is_retained(dependencies, since=announced.expires_at - UPLOAD_TTL, until=needed_at):
        return "names an upload that is not kept until the job starts: upload it again later, or start the job sooner"
    return None
