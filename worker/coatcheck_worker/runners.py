"""What the supervisor needs of those that run handlers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from coatcheck.core.job import Progress
from coatcheck_worker.protocol import Outcome, RunJob


@dataclass(frozen=True, slots=True)
class ServedType:
    """A job type that has a handler here: how its attempts are retried, and whether each job has a fresh process.

    `base` and `cap` are seconds, as in `RetryPolicy`.
    """

    base: float
    cap: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt ended as `outcome` says. `inline` is the result or the checkpoint, if the row takes it."""

    outcome: Outcome
    inline: bytes = b""


@dataclass(frozen=True, slots=True)
class Died:
    """The runner ended before the attempt did. `cause` is text for the client, `output` its last lines, for the log."""

    cause: str
    output: tuple[str, ...] = ()


class RunnerNotStarted(Exception):
    """No runner could be started: there may be no memory or no disk. The text says why."""


class AttemptPort(Protocol):
    """What a runner may ask for while it runs an attempt."""

    def report_progress(self, progress: Progress) -> None:
        """Take what the handler reported last."""

    def read_secret(self, name: str) -> str:
        """Return a secret. Raises LookupError if there is none, and AwsError if it cannot be read."""

    def checkpoint_room(self) -> int:
        """How many bytes of a checkpoint the row takes."""

    def sign(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers that sign a request to S3. Raises NotAllowed."""


class Runner(Protocol):
    """Runs one attempt at a time."""

    def workdir(self) -> AbstractContextManager[Path]:
        """An empty folder for an attempt, and nothing beside it. All is gone after it. Raises OSError."""

    def run(self, job: RunJob, body: bytes, port: AttemptPort) -> Ended | Died:
        """Run the attempt. `body` is the job's input, and its checkpoint if it has one."""

    def stop(self, reason: str) -> None:
        """Let the handler know that the attempt has to end, also if `run` comes later.

        Returns at once; may be called from any thread.
        """

    def kill(self) -> None:
        """End the runner and all that the handler started: `run` returns. May be called from any thread."""


class Runners(Protocol):
    """Those that run the handlers of a deployment."""

    @property
    def served(self) -> Mapping[str, ServedType]:
        """The job types that have handlers here, by name."""

    def take(self, job_type: str) -> AbstractContextManager[Runner]:
        """Take a runner for an attempt at a job of this type. Raises RunnerNotStarted."""


@dataclass(frozen=True, slots=True)
class NoRunners:
    """The runners of a process that runs no handlers, as that of the sweeper."""

    served: Mapping[str, ServedType] = field(default_factory=dict)

    def take(self, job_type: str) -> AbstractContextManager[Runner]:
        """Refuse."""
        raise RunnerNotStarted(f"this process runs no jobs, and none of {job_type}")
