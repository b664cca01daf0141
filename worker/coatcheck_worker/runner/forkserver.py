"""`python -m coatcheck_worker.runner.forkserver`: imports the handlers once, then forks a runner when one is wanted.

The supervisor starts it with one end of a socket and speaks to it in lines of JSON. It has one thread. It reports the
end of each runner, and ends what a runner left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from coatcheck.authoring.loading import JobTypeError, load_handlers, load_job_types
from coatcheck.authoring.types import Catalog, Handlers
from coatcheck.aws_transport.traced import traced
from coatcheck.core.clock import system_clock
from coatcheck.core.tracing import installed_tracer
from coatcheck_worker.process_isolation import adopt_orphans
from coatcheck_worker.protocol import CHANNEL_CLOSED_EXIT_STATUS, ChannelClosed, build_runner_models, runner_end
from coatcheck_worker.runner.log_handler import log_to
from coatcheck_worker.runner.main_loop import ChannelPort, serve
from coatcheck_worker.runner.process_setup import become_runner
from coatcheck_worker.runner.s3_transport import SignedS3Transport

START_FAILED_EXIT_STATUS = 71
"""Exit status of a runner that could not be set up (EX_OSERR)."""

_LONGEST_COMMAND = 4096


@dataclass
class Forkserver:
    """Forks runners that serve `handlers`, and reaps them. `control` leads to the supervisor."""

    control: socket.socket
    handlers: Handlers
    transport: SignedS3Transport
    megabytes: int
    exec_runners: bool = False
    """Whether a runner imports the handlers itself: a fork would lack the threads that their modules started."""

    runners: dict[int, int] = field(default_factory=dict)
    """The number of the runner that each process is."""

    def run(self) -> None:
        """Fork and reap until the supervisor closes the control socket; then end all runners."""
        wakeup, signaled = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(signaled, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(signaled, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        try:
            while True:
                ready = dict(poll.poll())
                if wakeup in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wakeup, 4096)
                self._reap()
                if self.control.fileno() in ready and not self._obey():
                    break
        except ConnectionError:
            pass  # there is no supervisor left to report to
        finally:
            self._end_all()

    def _obey(self) -> bool:
        """Carry out a command. Returns False when the supervisor is gone."""
        text, descriptors, _, _ = socket.recv_fds(self.control, _LONGEST_COMMAND, 2)
        if not text:
            return False
        command = json.loads(text)
        try:
            channel, output = descriptors
            options = RunnerOptions(channel, output, self.megabytes, command["scratch"], os.getppid())
            self._fork(command["number"], options)
        except OSError as error:
            self._report({"kind": "failed", "number": command["number"], "error": error.strerror or "OSError"})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, number: int, options: RunnerOptions) -> None:
        process = os.fork()
        if process:
            self.runners[process] = number
            self._report({"kind": "forked", "number": number, "process": process})
            return
        status = START_FAILED_EXIT_STATUS
        try:
            if self.exec_runners:
                _exec_runner(options)
            run_as_runner(options, self.handlers, self.transport)
            status = 0
        except ChannelClosed:
            status = CHANNEL_CLOSED_EXIT_STATUS
        except BaseException:  # noqa: BLE001 - whatever it is, this process is not the forkserver
            with contextlib.suppress(BaseException):
                traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Report the runners that ended. Then end what is left of what they started: it has become our own child."""
        while (ended := _ended_child()) is not None:
            # before it is reaped: until then nobody else has its number
            _kill_group(ended)
            status = os.waitstatus_to_exitcode(os.waitpid(ended, 0)[1])
            number = self.runners.pop(ended, None)
            if number is not None:
                self._report({"kind": "ended", "number": number, "status": status})
        _kill(_children() - self.runners.keys())

    def _end_all(self) -> None:
        """End all runners and what they started, which becomes our own child when its parent has ended."""
        for process in self.runners:
            _kill_group(process)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
                _kill(_children())

    def _report(self, report: dict[str, Any]) -> None:
        self.control.sendall(json.dumps(report).encode() + b"\n")


def _exec_runner(options: RunnerOptions) -> NoReturn:
    for descriptor in (options.channel, options.output):
        os.set_inheritable(descriptor, True)
    command = [sys.executable, "-m", "coatcheck_worker.runner", *options.arguments()]
    os.execv(sys.executable, command)  # noqa: S606 - our own module


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How a runner is set up: its descriptors, its memory, its folder, and its supervisor's process."""

    channel: int
    output: int
    memory: int
    scratch: str
    supervisor: int

    def arguments(self) -> list[str]:
        """The command line that `parse` understands."""
        return [text for name, value in asdict(self).items() for text in (f"--{name}", str(value))]

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> RunnerOptions:
        """The options of a command line, by default that of this process."""
        parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.runner")
        for option in fields(cls):
            parser.add_argument(f"--{option.name}", type=str if option.name == "scratch" else int, required=True)
        return cls(**vars(parser.parse_args(arguments)))


def run_as_runner(options: RunnerOptions, handlers: Handlers, transport: SignedS3Transport) -> None:
    """Be a runner, in a process that was just forked or started, until its supervisor closes the channel."""
    end = socket.socket(fileno=os.dup(options.channel))
    become_runner(end, options.output, megabytes=options.memory, scratch=options.scratch, supervisor=options.supervisor)
    to_supervisor = runner_end(end)
    log_to(to_supervisor)
    port = ChannelPort(to_supervisor)
    transport.sign = port.sign
    serve(
        to_supervisor,
        port,
        handlers,
        transport=traced(transport, installed_tracer()),
        clock=system_clock,
        # its handler may not look; the forkserver ends what it started
        on_closed=lambda: os._exit(CHANNEL_CLOSED_EXIT_STATUS),
    )


def _kill_group(process: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)


def _kill(processes: Iterable[int]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _ended_child() -> int | None:
    """A child that has ended and is not reaped yet."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_pid


def _children() -> set[int]:
    """The processes whose parent this one is, where Linux lists them."""
    try:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return set()
    return {int(process) for process in listed.split()}


def named_modules() -> list[str]:
    """The modules with the job types, as the supervisor passes them on."""
    return [name for name in os.environ.get("COATCHECK_JOBS", "").split(",") if name]


def describe(handlers: Handlers) -> dict[str, Any]:
    """What the supervisor needs to know of each job type: how it is retried, and whether it shares a process."""
    return {
        name: {
            "base": handler.job_type.retry.base,
            "cap": handler.job_type.retry.cap,
            "fresh": handler.job_type.isolation == "fresh",
        }
        for name, handler in handlers.items()
    }


def main(job_types: Catalog | None = None, make_transport: Callable[[], SignedS3Transport] = SignedS3Transport) -> None:
    """Import the handlers, say what is served, and fork.

    `job_types` are those served, by default those of COATCHECK_JOBS. `make_transport` makes the runners' transport.
    """
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.runner.forkserver")
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket to the supervisor")
    parser.add_argument("--memory", type=int, required=True, help="MB that a runner may take")
    options = parser.parse_args()
    control = socket.socket(fileno=options.control)
    # Ctrl-C on a terminal reaches every process of the group: only the supervisor decides when this one ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    try:
        handlers = load_handlers(load_job_types(named_modules()) if job_types is None else job_types)
        # what it imports is imported once, and not by each runner
        installed_tracer()
    except JobTypeError as error:
        _say(control, {"kind": "unusable", "error": str(error)})
        return
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    _say(control, {"kind": "ready", "served": describe(handlers), "threads": threads})
    transport = make_transport()
    build_runner_models()
    # what is here now is shared by all runners: a collection in one of them would copy it
    gc.collect()
    gc.freeze()
    Forkserver(control, handlers, transport, options.memory, exec_runners=bool(threads)).run()


def _say(control: socket.socket, report: dict[str, Any]) -> None:
    # without a supervisor, `run` ends at once
    with contextlib.suppress(ConnectionError):
        control.sendall(json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    main()
