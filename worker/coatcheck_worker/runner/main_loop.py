"""The loop of a runner: run one job after another for the supervisor, until one left traces in the process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coatcheck.authoring.types import Handlers
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import sanitize
from coatcheck.core.job import Progress
from coatcheck_worker.protocol import (
    Answer,
    AskCheckpointRoom,
    AskSecret,
    AskSignature,
    Channel,
    ChannelClosed,
    Question,
    ReportProgress,
    RunJob,
    StopAttempt,
    ToRunner,
)
from coatcheck_worker.runner.execution import run_handler
from coatcheck_worker.runner.traces import Snapshot, take_snapshot

PROGRESS_INTERVAL = 0.5
"""Seconds between two reports of progress: a handler may report more often than anybody looks."""

MAX_TRACES = 20

Clock = Callable[[], int]
MakeTransport = Callable[["ChannelPort"], Transport]


@dataclass
class _Waiting:
    """A question that waits for its answer."""

    answered: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None


class ChannelPort:
    """The supervisor at the other end of a channel. Threads of the handler may use it side by side."""

    def __init__(self, channel: Channel[ToRunner]) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = iter(range(1, 2**62))
        self._on_stop: Callable[[], object] = lambda: None
        self._unsent: Progress | None = None
        self._progress_sent = 0.0
        self.stop_reason: str | None = None

    def begin(self) -> None:
        """Begin an attempt: forget the stop and the progress of the one before."""
        with self._lock:
            self.stop_reason, self._unsent, self._on_stop = None, None, lambda: None

    def stop(self, reason: str) -> None:
        """The attempt has to end."""
        with self._lock:
            self.stop_reason = reason
            action = self._on_stop
        action()

    def call_when_stopped(self, action: Callable[[], object]) -> None:
        """Call `action` when the attempt has to end, or at once if it already has to."""
        with self._lock:
            self._on_stop = action
            stopped = self.stop_reason is not None
        if stopped:
            action()

    def report_progress(self, progress: Progress) -> None:
        """Send the report now, or with the next `flush_progress` if the last one was sent a moment ago."""
        self._unsent = progress
        if time.monotonic() - self._progress_sent >= PROGRESS_INTERVAL:
            self.flush_progress()

    def flush_progress(self) -> None:
        """Send a report that was not sent yet."""
        with self._lock:
            progress, self._unsent = self._unsent, None
            if progress is None:
                return
            self._progress_sent = time.monotonic()
        self._channel.send(ReportProgress(fraction=progress.fraction, message=progress.message))

    def read_secret(self, name: str) -> str:
        """Return a secret. Raises LookupError if there is none, and RuntimeError if it cannot be read."""
        if len(name) > 256 or not name.isprintable():
            raise LookupError(f"there is no secret named {sanitize.quoted(name)}")
        answer = self._ask(lambda number: AskSecret(number=number, name=name))
        if answer.value is None:
            raise (LookupError if answer.missing else RuntimeError)(answer.error or "the secret cannot be read")
        return answer.value

    def checkpoint_room(self) -> int:
        """How many bytes of a checkpoint the row takes. Raises RuntimeError if the supervisor does not say."""
        answer = self._ask(lambda number: AskCheckpointRoom(number=number))
        if answer.value is None:
            raise RuntimeError(answer.error or "the supervisor does not answer")
        return int(answer.value)

    def sign(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers that sign a request to S3. Raises PermissionError if the supervisor refuses it."""
        answer = self._ask(lambda number: AskSignature(number=number, method=method, url=url, headers=headers))
        if answer.error is not None:
            raise PermissionError(answer.error)
        return answer.headers

    def answered(self, answer: Answer) -> None:
        """Hand an answer to who waits for it."""
        waiting = self._waiting.pop(answer.number, None)
        if waiting is not None:
            waiting.answer = answer
            waiting.answered.set()

    def close(self) -> None:
        """The supervisor is gone: nobody waits any longer."""
        for number in list(self._waiting):
            self.answered(Answer(number=number, error="the supervisor is gone"))

    def _ask(self, question: Callable[[int], Question]) -> Answer:
        number, waiting = next(self._numbers), _Waiting()
        self._waiting[number] = waiting
        self._channel.send(question(number))
        waiting.answered.wait()
        assert waiting.answer is not None
        return waiting.answer


def serve(
    channel: Channel[ToRunner],
    port: ChannelPort,
    handlers: Handlers,
    *,
    transport: Transport,
    clock: Clock,
    snapshot: Callable[[], Snapshot] = take_snapshot,
    on_closed: Callable[[], object] = lambda: None,
) -> None:
    """Run the jobs that arrive, in this thread, until the channel is closed or a job ended the runner.

    A thread receives meanwhile; it calls `on_closed` when the supervisor closes the channel. Raises ChannelClosed.
    """
    jobs: queue.SimpleQueue[tuple[RunJob, bytes] | None] = queue.SimpleQueue()
    receiver = threading.Thread(target=_receive, args=(channel, port, jobs, on_closed), name="receiver", daemon=True)
    receiver.start()
    before = snapshot()
    while (received := jobs.get()) is not None:
        job, body = received
        handler = handlers.get(job.type)
        if handler is None:  # the supervisor knows what is served
            return
        ended = run_handler(handler, job, body, port=port, transport=transport, clock=clock)
        traces = before.changes(snapshot())
        last = bool(traces) or ended.outcome.last
        outcome = ended.outcome.model_copy(update={"number": job.number, "traces": traces[:MAX_TRACES], "last": last})
        channel.send(outcome, ended.inline)
        if last:
            return


def _receive(
    channel: Channel[ToRunner],
    port: ChannelPort,
    jobs: queue.SimpleQueue[tuple[RunJob, bytes] | None],
    on_closed: Callable[[], object],
) -> None:
    try:
        while True:
            # a report that was held back is sent though the handler reports no more
            if not channel.wait(PROGRESS_INTERVAL):
                port.flush_progress()
                continue
            received = channel.receive()
            if received is None:
                break
            match received:
                case (RunJob() as job, body):
                    # here, and not when the job is taken: a stop may follow at once
                    port.begin()
                    jobs.put((job, body))
                case (StopAttempt(reason=reason), _):
                    port.stop(reason)
                case (Answer() as answer, _):
                    port.answered(answer)
    except ChannelClosed:
        pass
    finally:
        jobs.put(None)
        port.close()
        on_closed()
