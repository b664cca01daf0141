"""The protocol between the supervisor and a runner: messages with a body, over a stream socket.

The supervisor trusts nothing of what a runner sends: a handler may write to the runner's end of the socket. Each
message is validated and bounded; a runner that breaks the protocol is ended.
"""

from __future__ import annotations

import functools
import math
import select
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Annotated, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from coatcheck.authoring.retry import MAX_RETRY_SECONDS
from coatcheck.core import sanitize
from coatcheck.core.deferred_model import DeferredModel
from coatcheck.core.ids import ARTIFACT_NAME
from coatcheck.core.job import Blob

MAX_HEADER = 2 * 1024 * 1024
MAX_BODY_TO_RUNNER = 128 * 1024 * 1024
"""Bytes of the input and the checkpoint of a job together."""

MAX_BODY_FROM_RUNNER = 64 * 1024
"""Bytes of a result or a checkpoint that goes into the row."""

MAX_ARTIFACTS = 1000
MAX_REASON = 500
MAX_MESSAGE = 200
MAX_LOG_TEXT = 16 * 1024
"""Characters of a log line, and of the trace below it, that are kept."""

SEND_TIMEOUT = 5
"""Seconds that a send may wait for the other end to read."""

CHANNEL_CLOSED_EXIT_STATUS = 76
"""Exit status of a runner whose channel was closed, by the supervisor or by its handler (EX_PROTOCOL)."""

_LENGTHS = struct.Struct("!II")

_CHUNK = 64 * 1024
"""Bytes that are received at once: a message and its body, mostly."""

M = TypeVar("M")


class ChannelClosed(Exception):
    """The other end is gone, does not read, or sent what is no message."""


def _text(longest: int) -> AfterValidator:
    return AfterValidator(lambda text: sanitize.plain_text(text, longest=longest))


def _artifact_name(name: str) -> str:
    if not ARTIFACT_NAME.fullmatch(name):
        raise ValueError("this is no name of an artifact")
    return name


Reason = Annotated[str, _text(MAX_REASON)]
Seconds = Annotated[float, Field(ge=0, le=MAX_RETRY_SECONDS, allow_inf_nan=False)]


class _Message(DeferredModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class StoredBlob(_Message):
    """A blob that a runner stored in S3, or whose bytes are the body of the message."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    content_type: Annotated[str, AfterValidator(sanitize.media_type)]
    filename: Annotated[str, AfterValidator(sanitize.filename)] | None = None

    @classmethod
    def of(cls, blob: Blob) -> Self:
        """What is said of `blob`, without its bytes."""
        facts = {"size": blob.size, "sha256": blob.sha256.hex(), "content_type": blob.content_type}
        return cls.model_validate({**facts, "filename": blob.filename or None})

    def blob(self, inline: bytes | None = None) -> Blob:
        """The blob; it holds its own bytes if they are given."""
        if inline is not None:
            return Blob.of(inline, self.content_type, self.filename)
        return Blob(self.size, bytes.fromhex(self.sha256), self.content_type, self.filename)


class Artifact(StoredBlob):
    """An artifact that a runner stored in S3."""

    filename: Annotated[str, AfterValidator(_artifact_name)]


class RunJob(_Message):
    """Run the handler of this attempt. The body is the input, followed by the checkpoint if there is one.

    Times are in milliseconds since the epoch. `attempt` is the fence: S3 keys hold it; handlers are told
    `counted_attempt`, in which legs do not count. `earlier_artifacts` is how many artifacts earlier legs made.
    Only an outcome with the same `number` is that of this attempt.
    """

    kind: Literal["run"] = "run"
    number: int = 0
    tenant: str
    id: str
    type: str
    lane: str
    created_at: int
    attempt: int
    counted_attempt: int
    counted_max_attempts: int
    earlier_artifacts: int = 0
    deadline: int
    bucket: str
    workdir: str
    input_size: int
    has_checkpoint: bool
    traceparent: str | None = None


class StopAttempt(_Message):
    """End the running attempt, for this reason."""

    kind: Literal["stop"] = "stop"
    reason: str


class Answer(_Message):
    """Answers the question with this number: its value, or why there is none. `missing`: there is no such secret."""

    kind: Literal["answer"] = "answer"
    number: int
    value: str | None = None
    headers: Mapping[str, str] = Field(default_factory=dict)
    error: str | None = None
    missing: bool = False


class ReportProgress(_Message):
    """What the handler reported last."""

    kind: Literal["progress"] = "progress"
    fraction: Annotated[float, Field(ge=0, le=1)]
    message: Annotated[str, _text(MAX_MESSAGE)] | None = None


class AskSecret(_Message):
    """Asks for the value of a secret."""

    kind: Literal["secret"] = "secret"
    number: int
    name: Annotated[str, Field(max_length=256)]


class AskCheckpointRoom(_Message):
    """Asks how many bytes of a checkpoint the row takes."""

    kind: Literal["checkpoint room"] = "checkpoint room"
    number: int


class AskSignature(_Message):
    """Asks for the headers that sign this request to S3."""

    kind: Literal["sign"] = "sign"
    number: int
    method: Annotated[str, Field(max_length=10)]
    url: Annotated[str, Field(max_length=8192)]
    headers: Mapping[str, Annotated[str, Field(max_length=4096)]] = Field(max_length=40)


class WriteLog(_Message):
    """A line for the log."""

    kind: Literal["log"] = "log"
    level: int = Field(ge=0, le=50)
    logger: Annotated[str, _text(100)]
    message: Annotated[str, _text(MAX_LOG_TEXT)]
    trace: Annotated[str, _text(MAX_LOG_TEXT)] | None = None
    extra: Mapping[
        Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,63}$")], Annotated[str, _text(1000)] | int | float | bool | None
    ] = Field(default_factory=dict, max_length=32)


class _Ended(_Message):
    """How attempt `number` ended. `traces` are what the job left in the process; `last`: the runner ends now."""

    number: int = 0
    artifacts: Annotated[list[Artifact], Field(max_length=MAX_ARTIFACTS)] = Field(default_factory=list)
    traces: Annotated[list[Annotated[str, _text(200)]], Field(max_length=20)] = Field(default_factory=list)
    last: bool = False


class Returned(_Ended):
    """The handler returned a result. It is the body if `inline`, and else in S3."""

    kind: Literal["returned"] = "returned"
    result: StoredBlob
    inline: bool


class Continued(_Ended):
    """The handler asked for another leg. The checkpoint is the body if `inline`, and else in S3."""

    kind: Literal["continued"] = "continued"
    checkpoint: StoredBlob
    inline: bool


class Raised(_Ended):
    """The attempt failed. `error` says what that means, `name` is the class of the exception."""

    kind: Literal["raised"] = "raised"
    error: Literal["rejected", "retry-later", "bad-result", "stopped", "error"]
    name: Annotated[str, _text(100)]
    reason: Reason = ""
    seconds: Seconds = 0.0
    permanent: bool = False
    trace: Annotated[str, _text(MAX_LOG_TEXT)] | None = None


Outcome: TypeAlias = Returned | Continued | Raised
Question: TypeAlias = AskSecret | AskCheckpointRoom | AskSignature
FromRunner: TypeAlias = Outcome | Question | ReportProgress | WriteLog
ToRunner: TypeAlias = RunJob | StopAttempt | Answer


@functools.cache
def from_runner() -> TypeAdapter[FromRunner]:
    """What reads the messages of a runner."""
    return TypeAdapter(Annotated[FromRunner, Field(discriminator="kind")])


@functools.cache
def to_runner() -> TypeAdapter[ToRunner]:
    """What reads the messages to a runner."""
    return TypeAdapter(Annotated[ToRunner, Field(discriminator="kind")])


def build_runner_models() -> None:
    """Build what a runner reads and writes messages with, so that those that are forked from here need not."""
    to_runner()
    for model in get_args(FromRunner):
        model.model_rebuild()


def runner_end(end: socket.socket) -> Channel[ToRunner]:
    """The runner's end of the socket."""
    return Channel(end, to_runner(), MAX_BODY_TO_RUNNER)


def supervisor_end(end: socket.socket) -> Channel[FromRunner]:
    """The supervisor's end of the socket."""
    return Channel(end, from_runner(), MAX_BODY_FROM_RUNNER)


class Channel(Generic[M]):
    """One end of the socket. Several threads may send, one receives. `incoming` validates what arrives."""

    def __init__(self, end: socket.socket, incoming: TypeAdapter[M], max_body: int) -> None:
        self._socket, self._incoming, self._max_body = end, incoming, max_body
        self._sending = threading.Lock()
        self._received = bytearray()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_TIMEOUT, 0))
        self._readable = select.poll()
        self._readable.register(end, select.POLLIN)

    def send(self, message: BaseModel, body: bytes = b"") -> None:
        """Send a message with its body. Raises ChannelClosed, also when the other end has not read for a while."""
        header = message.model_dump_json().encode()
        try:
            with self._sending:
                self._socket.sendall(b"".join((_LENGTHS.pack(len(header), len(body)), header, body)))
        except OSError as error:
            raise ChannelClosed(f"cannot send ({error.strerror})") from error

    def receive(self) -> tuple[M, bytes] | None:
        """Wait for a message and its body; None when the other end is closed. Raises ChannelClosed."""
        lengths = self._read(_LENGTHS.size)
        if not lengths:
            return None
        header, body = _LENGTHS.unpack(lengths)
        if header > MAX_HEADER or body > self._max_body:
            raise ChannelClosed("a message is too large")
        try:
            message = self._incoming.validate_json(self._read(header))
        except ValidationError as error:
            raise ChannelClosed(f"what arrived is no message ({error.error_count()} errors)") from None
        return message, self._read(body)

    def wait(self, seconds: float | None) -> bool:
        """Wait until something arrives, or for so many seconds. Returns whether `receive` would find something."""
        if self._received:
            return True
        return bool(self._readable.poll(None if seconds is None else math.ceil(seconds * 1000)))

    def shut_down(self) -> None:
        """End the channel: a `receive` returns once it has read what arrived, a `send` fails."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other end did already
            return

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._socket.fileno()

    def _read(self, size: int) -> bytes:
        """The next bytes; none if the other end was closed after a message."""
        received = self._received
        while len(received) < size:
            try:
                chunk = self._socket.recv(_CHUNK)
            except OSError as error:
                raise ChannelClosed(f"cannot receive ({error.strerror})") from error
            if not chunk and not received and size == _LENGTHS.size:
                return b""
            if not chunk:
                raise ChannelClosed("it ended within a message")
            received += chunk
        with memoryview(received) as view:
            read = bytes(view[:size])
        del received[:size]
        return read
