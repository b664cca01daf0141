"""Turn what a handler returned into bytes with a content type, and store them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import BaseModel

from coatcheck.authoring.types import JobType, Result
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import sanitize
from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.s3_keys import KeyedJob
from coatcheck.core.job import JSON, Blob
from coatcheck.core.pack import to_json
from coatcheck_worker.runner.storage.object_writer import ObjectWriter

_CHUNK_SIZE = 1024 * 1024

MAX_CHECKPOINT = 64 * 1024 * 1024
"""Bytes of a checkpoint as JSON: the next leg has it in memory from its start."""


class BadResult(Exception):
    """A handler returned something that is not a result of its job type. The message says what it was."""


def as_result(job_type: JobType[Any, Any], returned: Any) -> Result:
    """The returned value as bytes with a content type. Raises BadResult for what the job type's output is not."""
    output = job_type.output
    if not isinstance(returned, output):
        raise BadResult(f"{job_type.name} returned {_type_name(type(returned))}, not {_type_name(output)}")
    if returned is None:
        return Result(b"null", JSON)
    if isinstance(returned, BaseModel):
        try:
            return Result(returned.model_dump_json().encode(), JSON)
        except ValueError as error:
            raise BadResult(f"{job_type.name} returned {_type_name(output)} with values that JSON lacks") from error
    assert isinstance(returned, Result)
    return returned


def _type_name(one: type[Any]) -> str:
    return "None" if one is NoneType else one.__name__


def store_result(
    transport: Transport, bucket: str, job: KeyedJob, result: Result, *, in_row: int, check: Callable[[], None]
) -> Blob:
    """Store the result of this attempt, calling `check` between chunks; the row takes at most `in_row` bytes of it.

    Raises AwsError, BadResult, and what the handler's iterator and `check` raise.
    """
    writer = ObjectWriter(
        transport,
        bucket,
        s3_keys.result_key(job),
        content_type=sanitize.media_type(result.content_type),
        filename=sanitize.filename(result.filename or "") or None,
        inline=in_row,
    )
    return _fill(writer, _chunks(result), check)


def store_checkpoint(transport: Transport, bucket: str, job: KeyedJob, value: Any, *, in_row: int) -> Blob:
    """Store the checkpoint from which the next leg continues; the row takes at most `in_row` bytes of it.

    Raises AwsError, and BadResult when it is not JSON or larger than MAX_CHECKPOINT.
    """
    try:
        text = to_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResult(f"a checkpoint must be JSON: {error}") from error
    if len(text) > MAX_CHECKPOINT:
        raise BadResult(f"a checkpoint may have {MAX_CHECKPOINT:,} bytes as JSON, and this one has {len(text):,}")
    key = s3_keys.checkpoint_key(job, hashlib.sha256(text).digest())
    writer = ObjectWriter(transport, bucket, key, content_type=JSON, filename=None, inline=in_row)
    return _fill(writer, [text], lambda: None)


def _fill(writer: ObjectWriter, chunks: Iterable[bytes | memoryview], check: Callable[[], None]) -> Blob:
    try:
        for chunk in chunks:
            check()
            writer.write(chunk)
        return writer.finish()
    except BaseException:
        with contextlib.suppress(AwsError):
            writer.abort()
        raise


def _chunks(result: Result) -> Iterator[bytes | memoryview]:
    """The bytes in chunks. A chunk is valid until the next is read."""
    body: object = result.body
    if isinstance(body, bytes):
        with memoryview(body) as view:
            for start in range(0, len(view), _CHUNK_SIZE):
                yield view[start : start + _CHUNK_SIZE]
    elif isinstance(body, Path):
        with body.open("rb", buffering=0) as file, memoryview(bytearray(_CHUNK_SIZE)) as view:
            while size := file.readinto(view):
                yield view[:size]
    else:
        if isinstance(body, str) or not isinstance(body, Iterable):
            raise BadResult(f"the body of a Result must be bytes, a path or yield bytes, not {type(body).__name__}")
        for chunk in body:
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise BadResult(f"a result must be bytes or yield bytes, and this one yielded {type(chunk).__name__}")
            yield bytes(chunk) if isinstance(chunk, bytearray) else chunk
