"""What a handler sees of the job it runs."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from coatcheck.authoring.upload import Upload


class Stopped(BaseException):
    """The attempt must end now: the job was canceled, its time is up, or its lease was lost.

    Raised by `Context.check` and `Context.progress`. Not an `Exception`, so that a handler's own
    `except Exception` does not swallow it. Clean up and let it pass.
    """


class Context(Protocol):
    """Handed to every handler with its input. Safe to use from several threads of the handler."""

    @property
    def job_id(self) -> str:
        """The job's id: what to key external effects by, since a handler may run twice.

        All legs of a job have the same: a job with several adds what its checkpoint says.
        """

    @property
    def tenant(self) -> str:
        """Whose job this is."""

    @property
    def attempt(self) -> int:
        """1 for the first attempt. A leg that follows a `Continue` is of the same attempt."""

    @property
    def max_attempts(self) -> int:
        """How many attempts this job has, whatever the number of its legs."""

    @property
    def checkpoint(self) -> Any:
        """What an earlier leg saved by returning `Continue(checkpoint)`; None on the first leg."""

    @property
    def remaining(self) -> float:
        """Seconds until this attempt has to end; never below 0."""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose lines carry job, tenant and attempt."""

    @property
    def traceparent(self) -> str | None:
        """The trace of this attempt, as the value of a W3C `traceparent` header; None without one.

        Send it along with requests that belong to the job. Where OpenTelemetry is installed, it is current already.
        """

    @property
    def workdir(self) -> Path:
        """An empty folder of this attempt's own, removed when it ends."""

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Report to clients how far the job is (0 to 1; message at most 200 characters).

        Cheap to call often: it is written every couple of seconds at most. Raises `Stopped` as `check` does.
        """

    def check(self) -> None:
        """Raise `Stopped` when the job was canceled, ran out of time or lost its lease. Costs nothing."""

    def open_input(self, upload: Upload) -> BinaryIO:
        """The uploaded file as a file that is read and seeks. Close it.

        Bytes come from S3 as they are consumed, in one request from start to end and in ranges after a jump, so that
        `zipfile` or Pillow work on it. Raises FileNotFoundError when it has expired, or changes while it is read.
        """

    def input_path(self, upload: Upload) -> Path:
        """The uploaded file as a local file in `workdir`; fetched once."""

    def secret(self, name: str) -> str:
        """The value of the secret that `[tool.coatcheck.handlers] secrets` gives this name.

        It is read from Secrets Manager, and kept for five minutes, so ask each time rather than keep it. Under
        `coatcheck up`, and in a container without COATCHECK_SECRETS, it is the environment variable of that name.
        Raises LookupError, with what to do, if there is no such secret.
        """

    def artifact(self, name: str, content_type: str = "application/octet-stream") -> AbstractContextManager[BinaryIO]:
        """A file to write that becomes the artifact `name` (`[A-Za-z0-9._-]`, at most 100 characters).

        Streamed to S3 while written; kept when the `with` block ends without an exception, and seen by clients
        once the job has succeeded. A leg that ends in `Continue` keeps its artifacts, and one that fails does not. The
        same name in a later leg replaces what an earlier one wrote; within one leg it raises ValueError. A job
        writes at most 1,000 artifacts in all its legs.
        """
