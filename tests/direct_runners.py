"""Runners without a process of their own: for handlers that are closures of a test."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from coatcheck.authoring.types import Handlers
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import system_clock
from coatcheck.core.job import Progress
from coatcheck_worker.protocol import Continued, Raised, Returned, RunJob, from_runner
from coatcheck_worker.runner.execution import EndedAttempt, run_handler
from coatcheck_worker.runners import AttemptPort, Died, Ended, ServedType
from coatcheck_worker.supervisor.poller import Poller


def served_types(handlers: Handlers) -> dict[str, ServedType]:
    """What a forkserver says of these handlers."""
    return {
        name: ServedType(one.job_type.retry.base, one.job_type.retry.cap, fresh=one.job_type.isolation == "fresh")
        for name, one in handlers.items()
    }


def over_the_wire(ended: EndedAttempt) -> Ended:
    """An outcome as it arrives at the supervisor."""
    outcome = from_runner().validate_json(ended.outcome.model_dump_json())
    assert isinstance(outcome, (Returned, Continued, Raised))
    return Ended(outcome, ended.inline)


def step(poller: Poller) -> None:
    """Receive one message, if one arrives, and run its job. Raises AwsError."""
    for received in poller.receive(1):
        poller.process(received)


@dataclass
class DirectRunners:
    """Run `handlers` in threads of this process. They reach S3 by `transport`."""

    handlers: Handlers
    transport: Transport
    clock: Callable[[], int] = system_clock

    @property
    def served(self) -> Mapping[str, ServedType]:
        """The job types of the handlers."""
        return served_types(self.handlers)

    @contextmanager
    def take(self, job_type: str) -> Iterator[DirectRunner]:
        """A runner for one attempt."""
        assert job_type in self.handlers
        yield DirectRunner(self, self.handlers)


class DirectRunner:
    """Runs one attempt in a thread, which is left behind when the runner is killed."""

    def __init__(self, runners: DirectRunners, handlers: Handlers) -> None:
        self._runners, self._handlers = runners, handlers
        self._over = threading.Event()
        self._port = _DirectPort()

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """An empty folder."""
        with tempfile.TemporaryDirectory(prefix="coatcheck-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def run(self, job: RunJob, body: bytes, port: AttemptPort) -> Ended | Died:
        """Run the attempt."""
        direct, ended = self._port, list[EndedAttempt]()
        direct.attempt_port = port

        def work() -> None:
            transport, clock = self._runners.transport, self._runners.clock
            ended.append(
                run_handler(self._handlers[job.type], job, body, port=direct, transport=transport, clock=clock)
            )
            self._over.set()

        threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
        self._over.wait()
        return over_the_wire(ended[0]) if ended else Died("its process was killed by signal 9 (SIGKILL)")

    def stop(self, reason: str) -> None:
        """Let the handler know that the attempt has to end."""
        self._port.stop(reason)

    def kill(self) -> None:
        """Leave the handler to itself."""
        self._over.set()


class _DirectPort:
    """The supervisor, without a protocol between."""

    attempt_port: AttemptPort

    def __init__(self) -> None:
        self.stop_reason: str | None = None
        self._on_stop: Callable[[], object] = lambda: None

    def stop(self, reason: str) -> None:
        """The attempt has to end."""
        self.stop_reason = reason
        self._on_stop()

    def call_when_stopped(self, action: Callable[[], object]) -> None:
        """Call `action` when the attempt has to end, or at once if it already has to."""
        self._on_stop = action
        if self.stop_reason is not None:
            action()

    def report_progress(self, progress: Progress) -> None:
        """Hand it on."""
        self.attempt_port.report_progress(progress)

    def read_secret(self, name: str) -> str:
        """Hand it on."""
        return self.attempt_port.read_secret(name)

    def checkpoint_room(self) -> int:
        """Hand it on."""
        return self.attempt_port.checkpoint_room()
