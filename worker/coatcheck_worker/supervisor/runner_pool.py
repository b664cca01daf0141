"""Runners that are kept between jobs, as many as run side by side."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from coatcheck_worker.protocol import RunJob
from coatcheck_worker.runners import AttemptPort, Died, Ended, ServedType
from coatcheck_worker.supervisor.forkserver_client import ForkserverClient
from coatcheck_worker.supervisor.runner_process import RunnerProcess


class LentRunner:
    """A runner for the length of one attempt.

    A stop that comes before the attempt has begun follows it; one that comes too late does not reach the next attempt.
    """

    def __init__(self, runner: RunnerProcess) -> None:
        self._runner = runner
        self._lock = threading.Lock()
        self._begun = self._given_back = False
        self._stop: str | None = None

    def workdir(self) -> AbstractContextManager[Path]:
        """An empty folder for the attempt. Raises OSError."""
        return self._runner.workdir()

    def run(self, job: RunJob, body: bytes, port: AttemptPort) -> Ended | Died:
        """Run the attempt."""
        return self._runner.run(job, body, port, on_begun=self._has_begun)

    def stop(self, reason: str) -> None:
        """Let the handler know that the attempt has to end."""
        with self._lock:
            self._stop = reason
            if self._begun and not self._given_back:
                self._runner.stop(reason)

    def kill(self) -> None:
        """End the runner and all that the handler started."""
        with self._lock:
            if not self._given_back:
                self._runner.kill()

    def give_back(self) -> None:
        """The attempt is over, and the runner may be lent again."""
        with self._lock:
            self._given_back = True

    def _has_begun(self) -> None:
        with self._lock:
            self._begun = True
            if self._stop is not None:
                self._runner.stop(self._stop)


class RunnerPool:
    """Lends runners: one that has run jobs and left no traces, or a new one. Several threads may use it.

    Raises JobTypeError if the job types cannot be served.
    """

    def __init__(self, forkserver: ForkserverClient) -> None:
        self._forkserver = forkserver
        self._idle: list[RunnerProcess] = []
        self._lock = threading.Lock()
        self.served: Mapping[str, ServedType] = forkserver.served()

    @contextlib.contextmanager
    def take(self, job_type: str) -> Iterator[LentRunner]:
        """Take a runner for an attempt at a job of this type. Raises RunnerNotStarted."""
        fresh = self.served[job_type].fresh
        runner = (None if fresh else self._idle_runner()) or self._forkserver.start_runner()
        lent = LentRunner(runner)
        try:
            yield lent
        finally:
            lent.give_back()
            if runner.usable and not fresh:
                with self._lock:
                    self._idle.append(runner)
            else:
                self._forkserver.end(runner)

    def close(self) -> None:
        """End all runners, and remove their files. None may be lent."""
        for runner in self._idle:
            self._forkserver.end(runner)
        self._forkserver.close()

    def _idle_runner(self) -> RunnerProcess | None:
        while True:
            with self._lock:
                runner = self._idle.pop() if self._idle else None
            if runner is None or runner.usable:
                return runner
            self._forkserver.end(runner)
