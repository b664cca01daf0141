"""What a handler returned, as bytes with a content type, on their way into a sink."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from coatcheck import blobs, labels
from coatcheck.calls import AwsError
from coatcheck.pack import to_json
from coatcheck.record import JSON, Blob, Job
from coatcheck.table.room import RESULT_IN_ROW, room_for_checkpoint
from coatcheck.types import JobType, Result
from worker.aws import Aws
from worker.sink import Sink

_READ = 1024 * 1024


class BadResult(Exception):
    """A handler returned something that is no result of its job type. The message says what it was."""


def as_result(job_type: JobType[Any, Any], returned: Any) -> Result:
    """What was returned, as bytes with a content type. Raises BadResult."""
    if isinstance(returned, Result):
        return returned
    if returned is None:
        return Result(b"null", JSON)
    if isinstance(returned, BaseModel):
        if not isinstance(returned, job_type.output):
            expected, got = job_type.output.__name__, type(returned).__name__
            raise BadResult(f"the handler of {job_type.name} returned {got} where its type promises {expected}")
        return Result(returned.model_dump_json().encode(), JSON)
    if isinstance(returned, (bytes, Path)) or (isinstance(returned, Iterable) and not isinstance(returned, str)):
        return Result(returned)
    raise BadResult(f"the handler of {job_type.name} returned {type(returned).__name__}, which is no result")


def store_result(aws: Aws, bucket: str, job: Job, result: Result, *, check: Callable[[], None]) -> Blob:
    """Store the result of this attempt, calling `check` between chunks.

    Raises AwsError, BadResult, and what the handler's iterator and `check` raise.
    """
    sink = Sink(
        aws,
        bucket,
        blobs.result_key(job),
        content_type=labels.media_type(result.content_type),
        filename=labels.filename(result.filename or "") or None,
        inline=RESULT_IN_ROW,
    )
    return _fill(sink, _chunks(result), check)


def store_checkpoint(aws: Aws, bucket: str, job: Job, value: Any) -> Blob:
    """Store what the next leg goes on from. Raises AwsError, and BadResult when it is not JSON."""
    try:
        text = to_json(value)
    except (TypeError, ValueError) as error:
        raise BadResult(f"a checkpoint must be JSON: {error}") from error
    key = blobs.checkpoint_key(job, hashlib.sha256(text).digest())
    sink = Sink(aws, bucket, key, content_type=JSON, filename=None, inline=room_for_checkpoint(job))
    return _fill(sink, [text], lambda: None)


def _fill(sink: Sink, chunks: Iterable[bytes | memoryview], check: Callable[[], None]) -> Blob:
    try:
        for chunk in chunks:
            check()
            sink.write(chunk)
        return sink.finish()
    except BaseException:
        with contextlib.suppress(AwsError):
            sink.abort()
        raise


def _chunks(result: Result) -> Iterator[bytes | memoryview]:
    """The bytes in pieces. A piece is good until the next is asked for."""
    body = result.body
    if isinstance(body, bytes):
        with memoryview(body) as view:
            for start in range(0, len(view), _READ):
                yield view[start : start + _READ]
    elif isinstance(body, Path):
        with body.open("rb", buffering=0) as file, memoryview(bytearray(_READ)) as view:
            while size := file.readinto(view):
                yield view[:size]
    else:
        for chunk in body:
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise BadResult(f"an iterator of a result must yield bytes, not {type(chunk).__name__}")
            yield chunk
