"""What an owner writes: job types, and the handlers that run them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import RetryPolicy

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


def minutes(n: float) -> float:
    """`n` minutes in seconds."""
    return n * 60


def hours(n: float) -> float:
    """`n` hours in seconds."""
    return n * 3600


Body: TypeAlias = bytes | Path | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Result:
    """Bytes that are not JSON, returned by a handler with their content type.

    `body` is bytes, the path of a file, or an iterator of bytes, which is streamed and never held whole.
    `filename` is what a download is named.
    """

    body: Body
    content_type: str = "application/octet-stream"
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """Returned by a handler that wants more time: run me again, with `checkpoint` as `Context.checkpoint`.

    Not a failed attempt. `checkpoint` is anything JSON can hold.
    """

    checkpoint: Any


@dataclass(frozen=True, slots=True)
class JobType(Generic[In, Out]):
    """One kind of work: its name, its input and output models and its limits.

    `output` is the pydantic model a handler returns, `Result` for bytes of its own making, or `type(None)`.
    `timeout` is how many seconds an attempt may run, `max_attempts` how many attempts a job may have: both are
    defaults and upper limits for what a client may ask. `lane` names the queue, which is a size of machine.
    """

    name: str
    input: type[In]
    output: type[Out]
    title: str = ""
    description: str = ""
    lane: str = "default"
    timeout: float = minutes(5)
    max_attempts: int = 3
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > 64:
            raise ValueError(f"{self.name!r} is no job type name: dotted lower-case words, at most 64 characters")
        if not 1 <= self.timeout <= hours(24):
            raise ValueError(f"{self.name}: timeout must be 1 second to 24 hours, not {self.timeout}")
        if not 1 <= self.max_attempts <= 100:
            raise ValueError(f"{self.name}: max_attempts must be 1 to 100, not {self.max_attempts}")


Catalog: TypeAlias = Mapping[str, JobType[Any, Any]]


def catalog(*job_types: JobType[Any, Any]) -> Catalog:
    """The job types of a deployment by name. Raises ValueError when a name is used twice."""
    return _by_name([(t.name, t) for t in job_types])


Run: TypeAlias = Callable[[In, Context], Out | Continue | Awaitable[Out | Continue]]


@dataclass(frozen=True, slots=True)
class Handler(Generic[In, Out]):
    """A function bound to the job type it handles. Made by `handles`."""

    job_type: JobType[In, Out]
    run: Run[In, Out]


Handlers: TypeAlias = Mapping[str, Handler[Any, Any]]


def handles(job_type: JobType[In, Out]) -> Callable[[Run[In, Out]], Handler[In, Out]]:
    """Bind a `def` or `async def` function of (input, context) to its job type.

    Registers nothing by itself: name the handler in `handlers(...)`.
    """

    def bind(run: Run[In, Out]) -> Handler[In, Out]:
        return Handler(job_type, run)

    return bind


def handlers(*bound: Handler[Any, Any]) -> Handlers:
    """The handlers of a deployment by job type name. Raises ValueError when a type has two."""
    return _by_name([(h.job_type.name, h) for h in bound])


T = TypeVar("T")


def _by_name(pairs: list[tuple[str, T]]) -> dict[str, T]:
    named = dict(pairs)
    if len(named) < len(pairs):
        twice = sorted({name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1})
        raise ValueError(f"registered twice: {', '.join(twice)}")
    return named
