"""The context that a running handler is given."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from coatcheck import blobs, labels
from coatcheck.calls import AwsError
from coatcheck.clock import SECOND
from coatcheck.context import Stopped
from coatcheck.record import Blob, Job, Progress
from coatcheck.types import Upload
from worker.aws import Aws
from worker.heart import Heart
from worker.sink import Sink
from worker.source import READ_AHEAD, Source

MAX_ARTIFACTS = 1000
LONGEST_MESSAGE = 200
_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")


class JobContext:
    """`coatcheck.context.Context` for an attempt that runs in this process."""

    def __init__(
        self,
        aws: Aws,
        bucket: str,
        job: Job,
        heart: Heart,
        *,
        checkpoint: Any,
        workdir: Path,
        clock: Callable[[], int],
    ) -> None:
        self._aws, self._bucket, self._job, self._heart = aws, bucket, job, heart
        self._clock = clock
        self._lock = threading.Lock()
        self._artifacts: dict[str, Blob | None] = {}
        self.job_id, self.tenant = job.id, job.tenant
        self.attempt, self.max_attempts = job.attempt, job.max_attempts
        self.checkpoint = checkpoint
        self.workdir = workdir
        self.log = logging.LoggerAdapter(
            logging.getLogger(f"job.{job.type}"),
            {"job": job.id, "tenant": job.tenant, "lane": job.lane, "attempt": job.attempt},
        )

    @property
    def remaining(self) -> float:
        """Seconds until this attempt has to end."""
        return max(0.0, (self._heart.deadline - self._clock()) / SECOND)

    @property
    def made(self) -> list[Blob]:
        """The artifacts that are whole."""
        return [blob for blob in self._artifacts.values() if blob is not None]

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Note how far the job is. Raises Stopped, and ValueError for what is no fraction.

        Any kind of number will do; the message is made fit to be shown.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"a fraction is between 0 and 1, not {fraction}")
        said = None if message is None else labels.plain_text(message, longest=LONGEST_MESSAGE)
        self._heart.tell(Progress(round(float(fraction), 4), said or None))
        self.check()

    def check(self) -> None:
        """Raise Stopped when the attempt has to end."""
        if self._heart.stop is not None:
            raise Stopped(self._heart.stop.value)

    def open_input(self, upload: Upload) -> BinaryIO:
        """The uploaded file as a file that seeks. Raises FileNotFoundError when it has expired."""
        key = blobs.upload_key(self.tenant, upload.id)
        source = Source(self._aws, self._bucket, key, name=f"upload {upload.id}")
        return cast("BinaryIO", io.BufferedReader(source, READ_AHEAD))

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

    @contextlib.contextmanager
    def artifact(self, name: str, content_type: str = "application/octet-stream") -> Iterator[BinaryIO]:
        """A file to write that becomes the artifact `name`. Raises ValueError for a bad or repeated name."""
        self._reserve(name)
        key = blobs.artifact_key(self._job, name)
        kind = labels.media_type(content_type)
        sink = Sink(self._aws, self._bucket, key, content_type=kind, filename=name)
        try:
            yield cast("BinaryIO", sink)
            self._artifacts[name] = sink.finish()
        except BaseException:
            del self._artifacts[name]
            with contextlib.suppress(AwsError):
                sink.abort()
            raise

    def _reserve(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"an artifact is named by 1 to 100 of [A-Za-z0-9._-], not starting with a dot: {name!r}")
        with self._lock:
            if name in self._artifacts:
                raise ValueError(f"this attempt already made an artifact named {name!r}")
            if len(self._artifacts) >= MAX_ARTIFACTS:
                raise ValueError(f"a job makes at most {MAX_ARTIFACTS} artifacts")
            self._artifacts[name] = None
