"""Call a function in a confined process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from coatcheck.confined.errors import BadAnswer, ConfinedError, LimitReached
from coatcheck.confined.folders import Folders
from coatcheck.confined.limits import Limits
from coatcheck.confined.process import Process, Request
from coatcheck.confined.protections import Protection
from coatcheck.confined.reports import LIMIT_REASONS, InForce, Progress, Value, read_report
from coatcheck.linux import HiddenProcess, Kernel

if TYPE_CHECKING:
    # pydantic comes with it, which the confined process does without
    from pydantic import BaseModel

    from coatcheck.authoring.context import Context

Model = TypeVar("Model", bound="BaseModel")
T_co = TypeVar("T_co", covariant=True)

DISK_INTERVAL = 0.25
DEFAULT_LIMITS = Limits()
_hidden = HiddenProcess()


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a confined function returned, and the files that it left in its output folder, by name.

    The files are plain files in `Context.workdir`. What is in them was written by whoever made the input.
    """

    value: T_co
    files: Mapping[str, Path]


@overload
def run(
    ctx: Context,
    function: str,
    argument: object = None,
    *,
    returns: type[Model],
    files: Mapping[str, Path] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer[Model]: ...


@overload
def run(
    ctx: Context,
    function: str,
    argument: object = None,
    *,
    files: Mapping[str, Path] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer[None]: ...


def run(
    ctx: Context,
    function: str,
    argument: object = None,
    *,
    returns: type[BaseModel] | None = None,
    files: Mapping[str, Path] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer[BaseModel | None]:
    """Call `function`, named as "module:function", in a new process that can reach nothing but what it is given.

    The function takes `argument` (what JSON can hold) and a `ConfinedContext`, which has `files` to read and folders to
    write to. It returns what JSON can hold, at most 1 MiB of it, which is validated as the model `returns`. Blocks the
    thread, and may be called in several. A stop of the job kills the process and raises `Stopped`.

    Raises Reject with the reason that the function raises it with; LimitReached and Crashed, which are a `Reject` too;
    and Killed, Failed, BadAnswer or NotStarted, with which the attempt fails.
    """
    folders = Folders.make(ctx.workdir)
    request = Request(function, argument, files or {}, limits)
    try:
        text = _call(request, folders, ctx)
        answer = Answer(_validated(text, returns), folders.collect())
    except BaseException:
        folders.remove()
        raise
    folders.remove_scratch()
    return answer


def protections() -> frozenset[Protection]:
    """Return which protections are in force in a confined process on this machine. Starts one to see."""
    with TemporaryDirectory(prefix="coatcheck-") as workdir, _hide_memory():
        folders = Folders.make(Path(workdir))
        with Process(Request("coatcheck.confined.run:nothing", None, {}, DEFAULT_LIMITS), folders) as process:
            for line in process.lines(lambda: None):
                report = read_report(line)
                if isinstance(report, InForce):
                    return frozenset(Protection(name) for name in report.protections)
            raise process.death()


def nothing(argument: object, ctx: object) -> None:
    """Do nothing, in a confined process."""


def _call(request: Request, folders: Folders, ctx: Context) -> str:
    """Return the value as JSON. The process has ended when this returns or raises."""
    during = None
    with _hide_memory(), Process(request, folders) as process:
        try:
            for line in process.lines(_lookout(ctx, request.limits, folders)):
                report = read_report(line)
                if isinstance(report, Value):
                    return report.text
                if isinstance(report, InForce):
                    ctx.log.debug("%s is confined: %s", request.function, ", ".join(report.protections))
                if isinstance(report, Progress):
                    during = report.message
                    ctx.progress(report.fraction, report.message)
            raise process.death()
        except ConfinedError as error:
            error.during = during
            ctx.log.warning("%s: %s\n%s", request.function, error, process.last_words)
            raise


def _lookout(ctx: Context, limits: Limits, folders: Folders) -> Callable[[], None]:
    """Return what looks whether the process may go on, and raises if not."""
    ends = None if limits.seconds is None else time.monotonic() + limits.seconds
    next_measure = 0.0

    def look() -> None:
        nonlocal next_measure
        ctx.check()
        now = time.monotonic()
        if ends is not None and now > ends:
            raise LimitReached("seconds", f"it took longer than the {limits.seconds:g} seconds that it may take")
        if now > next_measure:
            next_measure = now + DISK_INTERVAL
            if folders.used() > limits.disk:
                raise LimitReached("disk", LIMIT_REASONS["disk"])

    return look


def _validated(text: str, returns: type[BaseModel] | None) -> BaseModel | None:
    if returns is None:
        return None
    try:
        return returns.model_validate_json(text)
    except ValueError as error:
        raise BadAnswer(f"the function returned no {returns.__name__}") from error


def _hide_memory() -> AbstractContextManager[None]:
    return _hidden(Kernel()) if sys.platform == "linux" else nullcontext()
