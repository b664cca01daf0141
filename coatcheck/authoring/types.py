"""What an owner writes: a job type with its handler, named in one place."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    Generic,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import RetryPolicy

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

Isolation: TypeAlias = Literal["shared", "fresh"]

MAX_NAME_LENGTH = 64
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


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


Run: TypeAlias = Callable[[In, Context], Out | Continue | Awaitable[Out | Continue]]
"""A handler: a `def` or `async def` function of the input and a context."""


@dataclass(frozen=True, slots=True)
class JobType(Generic[In, Out]):
    """One kind of work: its name, its input and output models, its limits and its handler.

    `output` is the pydantic model a handler returns, `Result` for bytes of its own making, or `type(None)`.
    `timeout` is how many seconds an attempt may run, `max_attempts` how many attempts a job may have: both are
    defaults and upper limits for what a client may ask. `lane` names the queue, which is a size of machine.
    `isolation="fresh"` runs each job in a process of its own; otherwise a process runs one job after another, until one
    leaves traces in it. `handler` is the function, or a reference to it, `"module:function"`, which only the worker
    imports. The decorator `job` makes a job type of a function. Raises ValueError for what cannot be a job type.
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
    handler: Run[In, Out] | str | None = None
    isolation: Isolation = "shared"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > MAX_NAME_LENGTH:
            raise ValueError(f"{self.name!r} is no job type name: dotted lower-case words, at most 64 characters")
        if not 1 <= self.timeout <= hours(24):
            raise ValueError(f"{self.name}: timeout must be 1 second to 24 hours, not {self.timeout}")
        if not 1 <= self.max_attempts <= 100:
            raise ValueError(f"{self.name}: max_attempts must be 1 to 100, not {self.max_attempts}")
        if not _is_model(self.input):
            raise ValueError(f"{self.name}: input must be a pydantic model, not {_type_name(self.input)}")
        if not (_is_model(self.output) or self.output in {Result, NoneType}):
            raise ValueError(
                f"{self.name}: output must be a pydantic model, Result or type(None), not {_type_name(self.output)}"
            )
        if isinstance(self.handler, str) and not _REFERENCE.fullmatch(self.handler):
            raise ValueError(f'{self.name}: handler must be a function or "module:function", not {self.handler!r}')
        if self.isolation not in get_args(Isolation):
            raise ValueError(f'{self.name}: isolation must be "shared" or "fresh", not {self.isolation!r}')


Catalog: TypeAlias = Mapping[str, JobType[Any, Any]]
"""The job types of a deployment by name."""


@dataclass(frozen=True, slots=True)
class Handler(Generic[In, Out]):
    """A job type with the function that runs its jobs, as the worker has it."""

    job_type: JobType[In, Out]
    run: Run[In, Out]


Handlers: TypeAlias = Mapping[str, Handler[Any, Any]]
"""The handlers of a deployment by the name of their job type."""


class JobDecorator(Protocol):
    """Makes a job type of a handler."""

    @overload
    def __call__(self, function: Callable[[In, Context], Coroutine[Any, Any, Out | Continue]], /) -> JobType[In, Out]:
        """Make one of an `async def` function."""

    @overload
    def __call__(self, function: Callable[[In, Context], Out | Continue], /) -> JobType[In, Out]:
        """Make one of a `def` function."""


def job(
    name: str,
    *,
    title: str | None = None,
    description: str | None = None,
    lane: str = "default",
    timeout: float = minutes(5),
    max_attempts: int = 3,
    retry: RetryPolicy | None = None,
    isolation: Isolation = "shared",
) -> JobDecorator:
    """Make a job type of the decorated `def` or `async def` function of (input, context).

    The input and output are those of the function's annotations. Title (its first line) and description come from
    the docstring unless given. The limits are those of `JobType`. Registers nothing: name the module in
    `[tool.coatcheck] jobs`. Raises ValueError, which names the function, for what cannot be a job type.
    """

    if not isinstance(name, str):
        raise ValueError('write @job("name"): the name of the job type is missing')  # noqa: TRY004 - as the others here

    def make(function: Callable[..., Any]) -> JobType[Any, Any]:
        given, returned = annotated_types(name, function)
        documentation = inspect.getdoc(function) or ""
        return JobType(
            name,
            given,
            returned,
            title=documentation.partition("\n")[0].rstrip(".") if title is None else title,
            description=documentation if description is None else description,
            lane=lane,
            timeout=timeout,
            max_attempts=max_attempts,
            retry=retry or RetryPolicy(),
            handler=function,
            isolation=isolation,
        )

    return make


def annotated_types(name: str, function: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
    """Return the input and the output type that the annotations of a handler of job type `name` say.

    `Continue` beside the output is left out. Raises ValueError where they are missing or cannot be evaluated.
    """
    try:
        hints = get_type_hints(function)
        first, *others = inspect.signature(function).parameters
    except (NameError, AttributeError) as error:
        raise ValueError(f"{name}: {error}: import what its annotations name outside of TYPE_CHECKING") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: the handler must be a function of (input, context)") from error
    if len(others) != 1:
        raise ValueError(f"{name}: the handler must take two arguments, its input and a context")
    if first not in hints or "return" not in hints:
        lacking = f"its argument {first}" if first not in hints else "what it returns"
        raise ValueError(f"{name}: annotate {lacking}: the job type takes its models from there")
    return hints[first], _output(name, hints["return"])


def _output(name: str, annotation: Any) -> type[Any]:
    alternatives = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    outputs = [one for one in alternatives if one is not Continue]
    if len(outputs) != 1:
        raise ValueError(f"{name}: the handler returns {annotation}: name one model, Result or None, beside Continue")
    only: type[Any] = outputs[0]
    return only


def _is_model(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)


def _type_name(one: object) -> str:
    return one.__name__ if isinstance(one, type) else repr(one)
