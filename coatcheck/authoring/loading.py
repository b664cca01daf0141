"""Finds the job types of a project in its modules, and their handlers."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from coatcheck.authoring.types import Catalog, Handler, Handlers, JobType, Run, annotated_types

RESERVED_PREFIX = "coatcheck."
"""Begins the names of Coatcheck's own job types. Clients are not shown them, and no project can have one."""

_OWN_PACKAGE = Path(__file__).resolve().parents[1]


class JobTypeError(Exception):
    """A job type of the project is wrong. The message is one line.

    `located` says whether it begins with the file and line.
    """

    def __init__(self, message: str, *, located: bool = False) -> None:
        super().__init__(message)
        self.located = located


@dataclass(frozen=True, slots=True)
class Declaration:
    """A job type, the module in which it was found, and where it is declared: `jobs/words.py:14`."""

    job_type: JobType[Any, Any]
    module: str
    where: str


def load_job_types(modules: Sequence[str]) -> Catalog:
    """Import `modules` and return the job types in them by name.

    A job type is in a module if a name at its top level is bound to it. Handlers that are named by reference are not
    imported. Raises JobTypeError.
    """
    return catalog(*(declaration.job_type for declaration in declarations(modules)))


def load_handlers(job_types: Catalog) -> Handlers:
    """Return the handler of each job type. Imports those that are named by reference. Raises JobTypeError."""
    return {name: Handler(job_type, resolve_handler(job_type)) for name, job_type in job_types.items()}


def catalog(*job_types: JobType[Any, Any]) -> Catalog:
    """Return job types by name."""
    return {job_type.name: job_type for job_type in job_types}


def declarations(modules: Sequence[str]) -> list[Declaration]:
    """Import `modules` and return each job type in them once, in the order of its modules. Raises JobTypeError."""
    found: dict[int, Declaration] = {}
    for module in modules:
        for declaration in _declared_in(load_module(module)):
            found.setdefault(id(declaration.job_type), declaration)
    by_name: dict[str, Declaration] = {}
    for one in found.values():
        name = one.job_type.name
        if name in by_name:
            raise JobTypeError(f"{one.where} {name}: is declared in {by_name[name].where} as well")
        by_name[name] = one
    return list(found.values())


def load_module(name: str, remedy: str = "correct `jobs` in [tool.coatcheck]") -> ModuleType:
    """Import a module of the project. Raises JobTypeError, which says where its import fails.

    `remedy` is what to do where there is no such module.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (error.name == name or name.startswith(f"{error.name}.")):
            raise JobTypeError(f"there is no module {name}: {remedy}") from error
        raise JobTypeError(describe_error(error), located=True) from error
    except (Exception, SystemExit) as error:
        raise JobTypeError(describe_error(error), located=True) from error


def resolve_handler(job_type: JobType[Any, Any]) -> Run[Any, Any]:
    """Return the function that runs jobs of `job_type`, imported if it is named by reference. Raises JobTypeError."""
    handler = job_type.handler
    if handler is None:
        raise JobTypeError(f'{job_type.name}: has no handler: give it handler="module:function", or use @job')
    if not isinstance(handler, str):
        return handler
    module, _, function = handler.partition(":")
    loaded = load_module(module, f'correct handler="{handler}" of {job_type.name}')
    found = getattr(loaded, function, None)
    if not callable(found):
        raise JobTypeError(f"{job_type.name}: its handler {handler} is no function")
    resolved: Run[Any, Any] = found
    return resolved


def check_handler(job_type: JobType[Any, Any]) -> None:
    """Raise JobTypeError if the handler takes or returns something else than the job type says.

    A handler without annotations is not checked.
    """
    run = resolve_handler(job_type)
    if not isinstance(job_type.handler, str) or not inspect.get_annotations(run):
        return
    try:
        given, returned = annotated_types(job_type.name, run)
    except ValueError as error:
        raise JobTypeError(str(error)) from error
    for verb, actual, declared in (("takes", given, job_type.input), ("returns", returned, job_type.output)):
        if actual is not declared:
            raise JobTypeError(f"{job_type.name} {verb} {_named(actual)}, its type says {_named(declared)}")


def describe_error(error: BaseException) -> str:
    """Describe in one line what a module of the project raised, and where."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, ValueError):
        text = str(error)
    if isinstance(error, ModuleNotFoundError):
        text = f"{error}: install what provides it, and name it in the dependencies of the project or of its handlers"
    if isinstance(error, SyntaxError):
        return f"{_shown(error.filename or '?')}:{error.lineno}: {error.msg}"
    frames = [frame for frame in _frames(error.__traceback__) if not _is_ours(frame[0])]
    where = f"{_shown(frames[-1][0])}:{frames[-1][1]}: " if frames else ""
    return f"{where}{' '.join(text.split())}"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_ours(filename: str) -> bool:
    return filename.startswith("<") or filename == import_module.__code__.co_filename or _is_within(filename)


def _is_within(filename: str) -> bool:
    # the code of a Lambda function may be reached by a link
    return Path(filename).resolve().is_relative_to(_OWN_PACKAGE)


def _declared_in(module: ModuleType) -> Iterator[Declaration]:
    for variable, value in vars(module).items():
        if isinstance(value, JobType):
            where = _location(module, variable, value)
            if value.name.startswith(RESERVED_PREFIX) and not _is_within(module.__file__ or ""):
                raise JobTypeError(f"{where} {value.name}: names with {RESERVED_PREFIX} are Coatcheck's own")
            yield Declaration(value, module.__name__, where)


def _location(module: ModuleType, variable: str, job_type: JobType[Any, Any]) -> str:
    if callable(job_type.handler) and hasattr(job_type.handler, "__code__"):
        code = job_type.handler.__code__
        return f"{_shown(code.co_filename)}:{code.co_firstlineno}"
    filename = module.__file__ or module.__name__
    line = _line_of(module, variable)
    return f"{_shown(filename)}:{line}" if line else _shown(filename)


def _line_of(module: ModuleType, variable: str) -> int | None:
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return None
    assigned = (
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == variable
    )
    return next(assigned, None)


def _shown(filename: str) -> str:
    """Return a path as its reader knows it: below the working directory, or below the import path."""
    path = Path(filename)
    for folder in (Path.cwd(), *map(Path, filter(os.path.isabs, sys.path))):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return filename


def _named(one: type[Any]) -> str:
    return "None" if one is type(None) else getattr(one, "__name__", str(one))
