"""Run a handler in a test: in this process, on local files, without AWS."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast

from pydantic import BaseModel

from coatcheck.authoring.context import Context, Stopped
from coatcheck.authoring.loading import resolve_handler
from coatcheck.authoring.types import Body, Continue, JobType, Result, Run
from coatcheck.authoring.upload import Upload
from coatcheck.core.ids import ARTIFACT_NAME
from coatcheck.core.pack import to_json


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact a handler wrote."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a handler's run.

    `output` is what its last leg returned: a model, a `Result`, a `Continue` or None. `body` is the result's bytes as a
    client would download them: those of a `Result`, or the model as JSON. `artifacts` and `progress` are of all legs.
    """

    output: Any
    body: bytes
    artifacts: Mapping[str, Artifact]
    progress: list[tuple[float, str | None]]


@dataclass
class LocalContext:
    """A `Context` on local files: `uploads` gives the bytes, or the path of the file, for each upload id.

    `secrets` gives the value of each secret, by the name that the handler asks for.
    After `timeout` seconds `check` and `progress` raise `Stopped`, as they do when a job is canceled.
    """

    workdir: Path
    uploads: Mapping[str, bytes | Path] = field(default_factory=dict)
    attempt: int = 1
    max_attempts: int = 3
    timeout: float = 60.0
    checkpoint: Any = None
    job_id: str = "job_test"
    tenant: str = "test"
    traceparent: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.log: logging.LoggerAdapter[logging.Logger] = logging.LoggerAdapter(
            logging.getLogger("coatcheck.testing"), {"job": self.job_id}
        )
        self.artifacts: dict[str, Artifact] = {}
        self.reported: list[tuple[float, str | None]] = []
        self._deadline = time.monotonic() + self.timeout

    @property
    def remaining(self) -> float:
        """Seconds until the timeout; never below 0."""
        return max(0.0, self._deadline - time.monotonic())

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Keep the report. Raises ValueError for a fraction or a message that clients could not be shown."""
        if not 0 <= fraction <= 1 or len(message or "") > 200:
            raise ValueError(f"progress is 0 to 1 with at most 200 characters, not {fraction!r}, {message!r}")
        self.reported.append((fraction, message))
        self.check()

    def check(self) -> None:
        """Raise `Stopped` when the timeout has passed."""
        if not self.remaining:
            raise Stopped

    def open_input(self, upload: Upload) -> BinaryIO:
        """The upload as a file that is read and seeks."""
        given = self._given(upload)
        file = given.open("rb", buffering=0) if isinstance(given, Path) else io.BytesIO(given)
        return cast("BinaryIO", io.BufferedReader(_Upload(file)))

    def input_path(self, upload: Upload) -> Path:
        """The upload as a file."""
        given = self._given(upload)
        if isinstance(given, Path):
            return given
        path = self.workdir / upload.id
        path.write_bytes(given)
        return path

    def _given(self, upload: Upload) -> bytes | Path:
        if upload.id not in self.uploads:
            raise KeyError(f"the test gave no upload {upload.id}; it gave {sorted(self.uploads)}")
        return self.uploads[upload.id]

    def secret(self, name: str) -> str:
        """The secret that the test gave. Raises LookupError if it gave none of that name."""
        if name not in self.secrets:
            raise LookupError(f'the test gave no secret {name}: run_job(…, secrets={{"{name}": "…"}})')
        return self.secrets[name]

    @contextmanager
    def artifact(self, name: str, content_type: str = "application/octet-stream") -> Iterator[BinaryIO]:
        """A file that can only be written, from start to end; kept when the block ends without an exception.

        Raises ValueError for a name that is not allowed or that this leg has used.
        """
        if not ARTIFACT_NAME.fullmatch(name) or name in self.artifacts:
            raise ValueError(f"an artifact needs a new name of 1 to 100 of [A-Za-z0-9._-], no dot first, not {name!r}")
        file = _Artifact()
        yield cast("BinaryIO", file)
        self.artifacts[name] = Artifact(bytes(file.written), content_type)


class _Upload(io.RawIOBase):
    """Only the file methods that the worker promises: no writing, no file descriptor."""

    def __init__(self, file: io.RawIOBase | io.BytesIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


class _Artifact(io.RawIOBase):
    """Only the file methods that the worker promises: no seeking, no reading, no file descriptor."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        before = len(self.written)
        self.written += data
        return len(self.written) - before


def run_job(
    job_type: JobType[Any, Any],
    given: BaseModel | Mapping[str, Any],
    uploads: Mapping[str, bytes | Path] | None = None,
    *,
    attempt: int = 1,
    timeout: float | None = None,
    checkpoint: Any = None,
    secrets: Mapping[str, str] | None = None,
    legs: int = 1,
) -> Outcome:
    """Run a job's handler on `given` (its input model, or the JSON object a client would send).

    Returns what it made. While the handler returns `Continue`, up to `legs` legs are run, each from the checkpoint of
    the one before, as JSON, with a `workdir` and a timeout of its own; the first starts from `checkpoint`. If the last
    of them returns `Continue` too, that is the output.

    Whatever the handler raises comes out: `Reject`, `RetryLater`, `Stopped` after `timeout` seconds (the job type's own
    by default). Raises pydantic's ValidationError for an input the service would refuse, TypeError when the handler
    returns something else than its job type says, and TypeError or ValueError for a checkpoint that is not JSON. The
    result is held in memory: keep it small.
    """
    if legs < 1:
        raise ValueError(f"legs is 1 or more, not {legs}")
    wanted = given if isinstance(given, BaseModel) else job_type.input.model_validate(given)
    artifacts: dict[str, Artifact] = {}
    progress: list[tuple[float, str | None]] = []
    for _ in range(legs):
        with TemporaryDirectory(prefix="coatcheck-test-") as folder:
            ctx = LocalContext(
                workdir=Path(folder),
                uploads=uploads or {},
                attempt=attempt,
                max_attempts=job_type.max_attempts,
                timeout=job_type.timeout if timeout is None else timeout,
                checkpoint=checkpoint,
                secrets=secrets or {},
            )
            output = _output(job_type, wanted, ctx)
            body = _body(output)
        artifacts |= ctx.artifacts
        progress += ctx.reported
        if not isinstance(output, Continue):
            break
        checkpoint = json.loads(to_json(output.checkpoint))
    return Outcome(output, body, artifacts, progress)


def _output(job_type: JobType[Any, Any], wanted: BaseModel, ctx: Context) -> object:
    output = _finished(resolve_handler(job_type), wanted, ctx)
    if not isinstance(output, (job_type.output, Continue)):
        raise TypeError(f"{job_type.name} returned {type(output).__name__}, not {job_type.output.__name__}")
    return output


def _finished(run: Run[Any, Any], wanted: BaseModel, ctx: Context) -> object:
    returned = run(wanted, ctx)
    if not isawaitable(returned):
        return returned

    async def wait() -> object:
        return await returned

    return asyncio.run(wait())


def _body(output: object) -> bytes:
    if isinstance(output, BaseModel):
        return output.model_dump_json().encode()
    return _bytes(output.body) if isinstance(output, Result) else b""


def _bytes(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.read_bytes() if isinstance(body, Path) else b"".join(body)
