"""The context of a running handler."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from coatcheck.authoring.context import Stopped
from coatcheck.authoring.upload import Upload
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import sanitize
from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.call import AwsError
from coatcheck.core.clock import SECOND
from coatcheck.core.ids import ARTIFACT_NAME
from coatcheck.core.job import Blob, Progress
from coatcheck_worker.protocol import MAX_ARTIFACTS, MAX_MESSAGE, RunJob
from coatcheck_worker.runner.storage.object_reader import READ_AHEAD, ObjectReader
from coatcheck_worker.runner.storage.object_writer import ObjectWriter
from coatcheck_worker.runner.supervisor_port import SupervisorPort


class JobContext:
    """`coatcheck.authoring.context.Context` for an attempt that runs in this process. S3 is reached by `transport`."""

    def __init__(
        self,
        transport: Transport,
        job: RunJob,
        port: SupervisorPort,
        *,
        workdir: Path,
        clock: Callable[[], int],
    ) -> None:
        self._transport, self._bucket, self._job, self._port = transport, job.bucket, job, port
        self._clock = clock
        self._lock = threading.Lock()
        self._artifacts: dict[str, Blob | None] = {}
        self.job_id, self.tenant = job.id, job.tenant
        self.attempt, self.max_attempts = job.counted_attempt, job.counted_max_attempts
        self.traceparent = job.traceparent
        self.checkpoint: Any = None
        self.unconfirmed = False
        """Whether S3 may hold an artifact that was given up: a handler may go on without it."""
        self.workdir = workdir
        self.log = logging.LoggerAdapter(
            logging.getLogger(f"job.{job.type}"),
            {"job": job.id, "tenant": job.tenant, "lane": job.lane, "attempt": self.attempt},
        )

    @property
    def remaining(self) -> float:
        """Seconds until this attempt has to end."""
        return max(0.0, (self._job.deadline - self._clock()) / SECOND)

    @property
    def artifacts(self) -> list[Blob]:
        """The artifacts of this leg that are complete."""
        return [blob for blob in self._artifacts.values() if blob is not None]

    def checkpoint_room(self) -> int:
        """How many bytes of a checkpoint the row takes."""
        return self._port.checkpoint_room()

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Report the job's progress. Raises Stopped, and ValueError for what is not a fraction.

        Any kind of number is accepted; the message is sanitized.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"a fraction is between 0 and 1, not {fraction}")
        text = None if message is None else sanitize.plain_text(message, longest=MAX_MESSAGE)
        self._port.report_progress(Progress(round(float(fraction), 4), text or None))
        self.check()

    def check(self) -> None:
        """Raise Stopped when the attempt has to end."""
        if self._port.stop_reason is not None:
            raise Stopped(self._port.stop_reason)

    def open_input(self, upload: Upload) -> BinaryIO:
        """The uploaded file as a seekable file. Raises FileNotFoundError when it has expired."""
        key = s3_keys.upload_key(self.tenant, upload.id)
        reader = ObjectReader(self._transport, self._bucket, key, name=f"upload {upload.id}")
        return cast("BinaryIO", io.BufferedReader(reader, READ_AHEAD))

    def input_path(self, upload: Upload) -> Path:
        """The uploaded file as a local file, fetched once."""
        path = self.workdir / upload.id
        with self._lock:
            if not path.exists():
                unfinished = path.with_suffix(".part")
                with contextlib.closing(self.open_input(upload)) as stream, unfinished.open("wb") as file:
                    shutil.copyfileobj(stream, file, 1024 * 1024)
                unfinished.rename(path)
        return path

    def secret(self, name: str) -> str:
        """The secret of that name. Raises LookupError if there is none, and RuntimeError if it cannot be read."""
        return self._port.read_secret(name)

    @contextlib.contextmanager
    def artifact(self, name: str, content_type: str = "application/octet-stream") -> Iterator[BinaryIO]:
        """A file to write that becomes the artifact `name`. Raises ValueError for a bad or repeated name."""
        self._reserve(name)
        key = s3_keys.artifact_key(self._job, name)
        kind = sanitize.media_type(content_type)
        writer = ObjectWriter(self._transport, self._bucket, key, content_type=kind, filename=name)
        try:
            yield cast("BinaryIO", writer)
            self._artifacts[name] = writer.finish()
        except BaseException as error:
            self.unconfirmed = self.unconfirmed or isinstance(error, AwsError)
            del self._artifacts[name]
            with contextlib.suppress(AwsError):
                writer.abort()
            raise

    def _reserve(self, name: str) -> None:
        if not ARTIFACT_NAME.fullmatch(name):
            raise ValueError(f"an artifact is named by 1 to 100 of [A-Za-z0-9._-], not starting with a dot: {name!r}")
        with self._lock:
            if name in self._artifacts:
                raise ValueError(f"this leg already made an artifact named {name!r}")
            if self._job.earlier_artifacts + len(self._artifacts) >= MAX_ARTIFACTS:
                raise ValueError(f"a job makes at most {MAX_ARTIFACTS} artifacts, in all its legs")
            self._artifacts[name] = None
