"""Runners that are kept between jobs, as many as run side by side."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from coatcheck_worker.runners import ServedType
from coatcheck_worker.supervisor.forkserver_client import ForkserverClient
from coatcheck_worker.supervisor.runner_process import RunnerProcess


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
    def take(self, job_type: str) -> Iterator[RunnerProcess]:
        """Take a runner for an attempt at a job of this type. Raises RunnerNotStarted."""
        fresh = self.served[job_type].fresh
        runner = (None if fresh else self._idle_runner()) or self._forkserver.start_runner()
        try:
            yield runner
        finally:
            if runner.usable and not fresh:
                with self._lock:
                    self._idle.append(runner)
            else:
                self._forkserver.end(runner)

    def close(self) -> None:
        """End all runners."""
        self._forkserver.close()

    def _idle_runner(self) -> RunnerProcess | None:
        while True:
            with self._lock:
                runner = self._idle.pop() if self._idle else None
            if runner is None or runner.usable:
                return runner
            self._forkserver.end(runner)
