"""Finds which of the project's files go into the zips."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coatcheck_infra.build.imports import find_imports
from coatcheck_infra.build.programs import BuildError, CommandError, run
from coatcheck_infra.build.zip_files import SourceFile, code_files
from coatcheck_infra.build.zip_specs import OUR_DISTRIBUTIONS
from coatcheck_infra.project.config import Project

OUR_PACKAGES = frozenset(name.replace("-", "_") for name in OUR_DISTRIBUTIONS)
NEVER = frozenset({"tests", "test", "conftest"})
"""Top-level names that are not the project's code, whoever imports them."""


@dataclass(frozen=True)
class OwnerCode:
    """The code of a project: its files, and the modules that the API and the worker begin with."""

    files: Sequence[SourceFile]
    job_modules: Sequence[str]
    handler_modules: Sequence[str]

    @property
    def packages(self) -> frozenset[str]:
        """The top-level names of the files."""
        return frozenset(file.path.parts[0].removesuffix(".py") for file in self.files)


def owner_code(project: Project, *, local: bool) -> OwnerCode:
    """Find the code of `project`; with `local` also that of job types that only `coatcheck up` serves.

    That is the top-level packages and modules below `Project.root` in which its job types and handlers are, those that
    these import, and so on: whole, with their data files. Left out are tests and hidden files. Imports the project's
    modules, in a process of its own. Raises BuildError.
    """
    modules = [*project.config.jobs, *(project.config.local.jobs if local else ())]
    handlers = _handler_modules(project.root, modules)
    files = tuple(_follow([*modules, *handlers], project.root))
    return OwnerCode(files, modules, handlers)


def _follow(modules: Iterable[str], root: Path) -> Iterator[SourceFile]:
    todo = [module.partition(".")[0] for module in modules]
    seen = {*OUR_PACKAGES, *NEVER}
    while todo:
        top = todo.pop()
        if top in seen:
            continue
        seen.add(top)
        for file in _files_of(top, root):
            yield file
            if file.path.suffix == ".py":
                todo += _top_imports(file)


def _files_of(top: str, root: Path) -> list[SourceFile]:
    folder, module = root / top, root / f"{top}.py"
    if folder.is_dir() and ((folder / "__init__.py").exists() or any(folder.rglob("*.py"))):
        return code_files(folder, PurePosixPath(top))
    return [SourceFile(PurePosixPath(module.name), module)] if module.is_file() else []


def _top_imports(file: SourceFile) -> set[str]:
    package = ".".join(file.path.parent.parts)
    try:
        return {one.module.partition(".")[0] for one in find_imports(file.source.read_text(), package)}
    except (SyntaxError, UnicodeDecodeError) as wrong:
        raise BuildError(f"{file.path}: {wrong}") from wrong


def _handler_modules(root: Path, modules: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "coatcheck_infra.build.handler_modules", *modules]
    try:
        found: list[str] = json.loads(run(command, cwd=root).splitlines()[-1])
    except CommandError as failed:
        raise BuildError(failed.said) from failed
    return found
