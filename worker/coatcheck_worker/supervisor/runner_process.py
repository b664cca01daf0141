"""A runner in a process of its own, at the other end of a channel."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from coatcheck.core.aws.call import AwsError
from coatcheck.core.job import Progress
from coatcheck_worker import memory
from coatcheck_worker.protocol import (
    CHANNEL_CLOSED_EXIT_STATUS,
    Answer,
    AskCheckpointRoom,
    AskSecret,
    AskSignature,
    Channel,
    ChannelClosed,
    FromRunner,
    Outcome,
    Question,
    ReportProgress,
    RunJob,
    StopAttempt,
    WriteLog,
)
from coatcheck_worker.runners import AttemptPort, Died, Ended
from coatcheck_worker.s3_signing import NotAllowed
from coatcheck_worker.supervisor.attempt_folder import AttemptFolder
from coatcheck_worker.supervisor.runner_log import write_line
from coatcheck_worker.supervisor.runner_output import RunnerOutput

log = logging.getLogger(__name__)

START_TIMEOUT = 30.0
"""Seconds to wait for a new process: it may import the handlers itself."""

REPORT_TIMEOUT = 0.2
"""Seconds to wait for the report of a death once the channel is closed. Then the process is killed."""

DEATH_TIMEOUT = 5.0
"""Seconds to wait for the end of a process that was killed."""


class RunnerProcess:
    """A runner's process. `scratch` is the folder that its temporary files are in."""

    def __init__(self, channel: Channel[FromRunner], output: RunnerOutput, scratch: Path) -> None:
        self._channel, self.output, self.scratch = channel, output, scratch
        self._folder = AttemptFolder(scratch)
        self._process: int | None = None
        self._status: int | None = None
        self._known = threading.Event()
        self._ended = threading.Event()
        self._out_of_memory = memory.times_out_of_memory()
        self.attempts = 0
        self.last = False
        """Whether it runs no other attempt: it left traces, or broke the protocol."""

    @property
    def usable(self) -> bool:
        """Whether it can run another attempt."""
        return not (self.last or self._ended.is_set())

    def started(self) -> bool:
        """Wait until its process runs. Returns False if it does not."""
        self._known.wait(START_TIMEOUT)
        return self._process is not None

    def forked(self, process: int) -> None:
        """Its process is this one."""
        self._process = process
        self._known.set()

    def has_ended(self, status: int | None) -> None:
        """Its process has ended, with an exit status, the negative number of a signal, or in an unknown way."""
        self._status = status
        self._ended.set()
        self._known.set()
        # whatever else holds the other end, what is waited for does not come any more
        self._channel.shut_down()

    @contextlib.contextmanager
    def workdir(self) -> Iterator[Path]:
        """An empty folder for an attempt. All that it leaves in `scratch` is removed. Raises OSError."""
        try:
            folder = self._folder.path()
        except OSError:
            # the next attempt gets another runner, with another folder
            self.last = True
            raise
        try:
            yield folder
        finally:
            self._remove_files()

    def run(
        self, job: RunJob, body: bytes, port: AttemptPort, *, on_begun: Callable[[], object] = lambda: None
    ) -> Ended | Died:
        """Run the attempt, and answer what its runner asks meanwhile. From `on_begun` on it can be stopped."""
        self.attempts += 1
        self.output.begin()
        try:
            numbered = job.model_copy(update={"number": secrets.randbits(53)})
            self._channel.send(numbered, body)
            on_begun()
            ended = self._serve(port, numbered.number)
        except ChannelClosed as error:
            ended = self._death(str(error))
        last_lines = self.output.end()
        return Died(ended.cause, last_lines) if isinstance(ended, Died) else ended

    def stop(self, reason: str) -> None:
        """Let the handler know that the attempt has to end."""
        with contextlib.suppress(ChannelClosed):
            self._channel.send(StopAttempt(reason=reason))

    def kill(self) -> None:
        """End the process and all that its handlers started."""
        self.last = True
        self._known.wait(DEATH_TIMEOUT)
        # without a status nobody has ended what its handlers started
        if self._process is not None and self._status is None:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(self._process, signal.SIGKILL)

    def close(self) -> None:
        """End it, and remove its files."""
        self.kill()
        self._ended.wait(DEATH_TIMEOUT)
        self._channel.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _remove_files(self) -> None:
        try:
            self._folder.clear()
        except OSError as error:
            # a handler may do anything to its folders: the outcome of its attempt stands
            log.warning("the temporary files of a job are not removed: %s", error.strerror)
            self.last = True

    def _serve(self, port: AttemptPort, number: int) -> Ended | Died:
        while (received := self._channel.receive()) is not None:
            match received:
                case (ReportProgress(fraction=fraction, message=message), _):
                    port.report_progress(Progress(fraction, message))
                case (AskSecret() | AskCheckpointRoom() | AskSignature() as question, _):
                    self._channel.send(_answer(question, port))
                case (WriteLog() as line, _):
                    write_line(line)
                case (outcome, inline) if outcome.number == number:
                    return self._outcome(outcome, inline)
                case _:
                    # a handler left a message for whoever comes after it
                    return self._death("it answers another attempt")
        return self._death(None)

    def _outcome(self, outcome: Outcome, inline: bytes) -> Ended:
        # it may have been killed meanwhile
        self.last = self.last or outcome.last
        if outcome.traces:
            log.warning("this job left traces in its process, which runs no other job: %s", ", ".join(outcome.traces))
        return Ended(outcome, inline)

    def _death(self, violation: str | None) -> Died:
        """Its channel is closed: its process has ended, or has to be ended."""
        by_itself = self._ended.wait(REPORT_TIMEOUT)
        self.kill()
        if not self._ended.wait(DEATH_TIMEOUT):
            return Died("its process does not end")
        if not by_itself and self._status in {None, -signal.SIGKILL}:
            return Died(f"its process broke its connection to the worker ({violation or 'it is closed'})")
        return Died(f"its process {self._describe_end()}")

    def _describe_end(self) -> str:
        status = self._status
        if status is None:
            return "was lost"
        if status == CHANNEL_CLOSED_EXIT_STATUS:
            return "broke its connection to the worker"
        if status >= 0:
            return f"ended with exit status {status}"
        if status == -signal.SIGKILL and memory.times_out_of_memory() > self._out_of_memory:
            return "was killed because the memory was used up"
        return f"was killed by signal {-status} ({_signal_name(-status)})"


def _answer(question: Question, port: AttemptPort) -> Answer:
    number = question.number
    try:
        if isinstance(question, AskSecret):
            return Answer(number=number, value=port.read_secret(question.name))
        if isinstance(question, AskCheckpointRoom):
            return Answer(number=number, value=str(port.checkpoint_room()))
        return Answer(number=number, headers=port.sign(question.method, question.url, question.headers))
    except LookupError as error:
        return Answer(number=number, error=str(error.args[0] if error.args else error), missing=True)
    except (AwsError, NotAllowed) as error:
        return Answer(number=number, error=str(error))
    except Exception:
        # whatever a handler asked for, the attempts beside it go on
        log.exception("a question of a handler could not be answered")
        return Answer(number=number, error="the worker could not answer; its log says why")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "no name"
