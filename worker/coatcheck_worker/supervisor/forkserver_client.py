"""The supervisor's side of the forkserver: starts it, asks it for runners, and hears of their ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coatcheck.authoring.loading import JobTypeError
from coatcheck_worker.protocol import supervisor_end
from coatcheck_worker.runners import RunnerNotStarted, ServedType
from coatcheck_worker.supervisor.runner_output import OutputReader, RunnerOutput
from coatcheck_worker.supervisor.runner_process import RunnerProcess

log = logging.getLogger(__name__)

FORKSERVER = "coatcheck_worker.runner.forkserver"


class ForkserverClient:
    """Keeps a forkserver that can start runners. Several threads may use it.

    `module` is the forkserver's, `environ` is the environment of handlers. A runner may take `megabytes` of memory.
    """

    def __init__(self, environ: Mapping[str, str], *, megabytes: int, module: str = FORKSERVER) -> None:
        self._environ, self._megabytes, self._module = environ, megabytes, module
        self._lock = threading.Lock()
        self._output = OutputReader()
        self._connection = self._connect()

    def served(self) -> Mapping[str, ServedType]:
        """Wait until the job types are imported, and return those that are served. Raises JobTypeError."""
        return self._connection.served()

    def start_runner(self) -> RunnerProcess:
        """Start a runner. Raises RunnerNotStarted."""
        try:
            with self._lock:
                if not self._connection.alive:
                    log.error("the process that starts runners has ended; starting another")
                    self._connection.close()
                    self._connection = self._connect()
                self._connection.served()
                runner = self._connection.start_runner(self._output)
        except (OSError, JobTypeError) as error:
            raise RunnerNotStarted(str(error)) from error
        if not runner.started():
            self.end(runner)
            raise RunnerNotStarted("no process can be forked; there may be too little memory")
        return runner

    def end(self, runner: RunnerProcess) -> None:
        """End a runner, and forget it."""
        runner.close()
        self._output.remove(runner.output)

    def close(self) -> None:
        """End the forkserver with all runners."""
        with self._lock:
            self._connection.close()

    def _connect(self) -> _Connection:
        return _Connection(self._command, self._environ)

    def _command(self, control: int) -> Sequence[str]:
        options = ["--control", str(control), "--memory", str(self._megabytes)]
        return [sys.executable, "-m", self._module, *options]


class _Connection:
    """One forkserver, and the runners that it started. Raises OSError when it cannot be started."""

    def __init__(self, command: Callable[[int], Sequence[str]], environ: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command(theirs.fileno()), stdin=subprocess.DEVNULL, env=dict(environ), pass_fds=[theirs.fileno()]
            )
        self._ready = threading.Event()
        self._served: Mapping[str, ServedType] | None = None
        self._unusable = "the process that imports the job types has ended; its output says why"
        self._runners: dict[int, RunnerProcess] = {}
        self._started = 0
        self.alive = True
        threading.Thread(target=self._read_reports, name="forkserver", daemon=True).start()

    def served(self) -> Mapping[str, ServedType]:
        """Wait until the job types are imported, and return those that are served. Raises JobTypeError."""
        self._ready.wait()
        if self._served is None:
            raise JobTypeError(self._unusable)
        return self._served

    def start_runner(self, outputs: OutputReader) -> RunnerProcess:
        """Start a runner. Raises OSError."""
        scratch = tempfile.mkdtemp(prefix="coatcheck-runner-")
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        self._started += 1
        runner = RunnerProcess(supervisor_end(ours), RunnerOutput(read_end), Path(scratch))
        self._runners[self._started] = runner
        try:
            command = json.dumps({"number": self._started, "scratch": scratch}).encode()
            socket.send_fds(self._socket, [command], [theirs.fileno(), write_end])
        finally:
            theirs.close()
            os.close(write_end)
        outputs.add(runner.output)
        return runner

    def close(self) -> None:
        """End the forkserver, which ends its runners."""
        self.alive = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()

    def _read_reports(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._socket.makefile("rb") as reports:
            for line in reports:
                try:
                    self._take(json.loads(line))
                except Exception:
                    log.exception("a report of the process that starts runners was not understood; going on")
        self.alive = False
        self._ready.set()
        for number in list(self._runners):
            self._runners.pop(number).has_ended(None)

    def _take(self, report: Mapping[str, Any]) -> None:
        match report:
            case {"kind": "ready", "served": served, "threads": threads}:
                self._served = {name: ServedType(**facts) for name, facts in served.items()}
                _warn_of_threads(threads)
                self._ready.set()
            case {"kind": "unusable", "error": error}:
                self._unusable = error
            case {"kind": "forked", "number": number, "process": process}:
                self._runners[number].forked(process)
            case {"kind": "failed", "number": number, "error": error}:
                log.error("a process for handlers could not be started: %s", error)
                self._runners.pop(number).has_ended(None)
            case {"kind": "ended", "number": number, "status": status}:
                self._runners.pop(number).has_ended(status)


def _warn_of_threads(threads: Sequence[str]) -> None:
    if threads:
        log.warning(
            "modules of job types start threads when they are imported (%s), so each new process for handlers imports "
            "them anew, which takes longer",
            ", ".join(threads),
        )
