"""Restarts processes when their code changes. Code that does not work is reported and not loaded."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from watchfiles import Change, PythonFilter, awatch

from coatcheck_infra.local.processes import ProcessSpec
from coatcheck_infra.local.project_check import CheckedProject, CheckFailed, check_project
from coatcheck_infra.local.stack_context import StackContext
from coatcheck_infra.project.config import PYPROJECT

API, WORKER, SWEEPER = "api", "worker", "sweeper"

PROCESSES_BY_PACKAGE = {
    "coatcheck": (API, WORKER, SWEEPER),
    "coatcheck_service": (API,),
    "coatcheck_worker": (WORKER, SWEEPER),
}
"""The processes that run the code of each package of ours."""

ENTRY_MODULES = (
    "coatcheck_service.main",
    "coatcheck_worker.__main__",
    "coatcheck_worker.supervisor.__main__",
    "coatcheck_worker.runner.forkserver",
    "coatcheck_worker.sweep.__main__",
    "coatcheck_worker.webhooks.__main__",
)
"""They import our code, which is tried before it is loaded."""

IGNORED_FOLDERS = frozenset({".coatcheck", "build", "dist", "tests", "env", "venv"})
"""Besides those that every filter of watchfiles ignores, such as .venv, .git and __pycache__."""

_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+)')


class CodeFilter(PythonFilter):
    """Accepts the Python files of a project below `root`, without its tests, and those of our `packages`."""

    def __init__(self, root: Path, packages: Iterable[Path]) -> None:
        self._root, self._packages = root, tuple(packages)
        super().__init__()

    def __call__(self, change: Change, path: str) -> bool:
        file = Path(path)
        if file == self._root / PYPROJECT:
            return True
        if any(file.is_relative_to(package) for package in self._packages):
            return super().__call__(change, path)
        inside = file.relative_to(self._root).parts if file.is_relative_to(self._root) else ()
        hidden = any(part.startswith(".") or part in IGNORED_FOLDERS for part in inside[:-1])
        return bool(inside) and not hidden and super().__call__(change, path)


def editable_packages() -> dict[str, Path]:
    """Return the folders of those packages of ours that are not installed as copies: they may be edited."""
    folders = {}
    for package in PROCESSES_BY_PACKAGE:
        spec = find_spec(package)
        if spec and spec.origin and "site-packages" not in Path(spec.origin).parts:
            folders[package] = Path(spec.origin).parent
    return folders


@dataclass
class Reloader:
    """Watches the code of the project and, in a checkout, ours; sets the event of each process that runs changed code.

    `api_files` are the project's files that the API has imported, `env` is an environment to import its code in.
    `not_loaded` are the files that were changed since code that works was loaded.
    """

    stack: StackContext
    api_files: frozenset[Path]
    restart_events: Mapping[str, asyncio.Event]
    env: Mapping[str, str]
    packages: Mapping[str, Path] = field(default_factory=editable_packages)
    not_loaded: set[Path] = field(default_factory=set)

    async def run(self) -> None:
        """Watch until cancelled."""
        root, packages = self.stack.project.root, self.packages.values()
        try:
            async for changes in awatch(root, *packages, watch_filter=CodeFilter(root, packages)):
                files = {Path(path) for _, path in changes}
                if root / PYPROJECT in files:
                    self.stack.write_line(f"{PYPROJECT} was changed: it is read when `up` is started again")
                self.not_loaded |= files - {root / PYPROJECT}
                if self.not_loaded:
                    await self._load()
        except (OSError, RuntimeError) as error:
            self.stack.write_line(f"code changes are no longer watched: {error}")

    async def _load(self) -> None:
        files = self.not_loaded
        owners = {file: self._package_of(file) for file in files}
        try:
            checked = await self._try(files, any(owners.values()))
        except CheckFailed as failed:
            for problem in failed.problems:
                self.stack.write_line(f"not reloaded: {problem}")
            return
        for warning in checked.warnings:
            self.stack.write_line(warning)
        imported = self.api_files | checked.api_files
        names: set[str] = set()
        for file, package in owners.items():
            of_project = (API, WORKER) if file in imported else (WORKER,)
            names.update(PROCESSES_BY_PACKAGE[package] if package else of_project)
        self.api_files, self.not_loaded = checked.api_files, set()
        for name in names & self.restart_events.keys():  # the sweeper starts last
            self.restart_events[name].set()
        shown = ", ".join(sorted(map(self._shown, files)))
        self.stack.write_line(f"reloaded: {shown} ({', '.join(sorted(names))})")

    async def _try(self, files: Iterable[Path], ours: bool) -> CheckedProject:  # noqa: FBT001
        """Try changed files in processes of their own; `ours` says whether some are of our packages.

        Raises CheckFailed.
        """
        if compile_error := first_compile_error(files, self._shown):
            raise CheckFailed([compile_error])
        manager = self.stack.process_manager
        if ours:
            lines: list[str] = []
            command = (sys.executable, "-c", f"import {', '.join(ENTRY_MODULES)}")
            if await (await manager.start(ProcessSpec("up", command, self.env), lines.append)).wait():
                raise CheckFailed([last_error(lines, self._shown)])
        return await check_project(self.stack.project, manager, self.env, self.stack.home.scratch)

    def _package_of(self, file: Path) -> str | None:
        """Return the package of ours that a file belongs to; None for one of the project."""
        return next((name for name, folder in self.packages.items() if file.is_relative_to(folder)), None)

    def _shown(self, file: Path) -> str:
        folders = (self.stack.project.root, *(folder.parent for folder in self.packages.values()))
        return next((str(file.relative_to(folder)) for folder in folders if file.is_relative_to(folder)), str(file))


def first_compile_error(files: Iterable[Path], shown: Callable[[Path], str] = str) -> str | None:
    """Return the first compile error in `files`, as one line, or None. Deleted files are skipped."""
    for file in sorted(files):
        with contextlib.suppress(FileNotFoundError):
            try:
                compile(file.read_bytes(), file, "exec")
            except SyntaxError as error:
                return f"{shown(file)}:{error.lineno}: {error.msg}"
            except (ValueError, PermissionError, IsADirectoryError) as error:
                return f"{shown(file)}: {error}"
    return None


def last_error(traceback: Sequence[str], shown: Callable[[Path], str] = str) -> str:
    """Return a printed traceback as one line: where the error was raised, and what it says."""
    places = [found for line in traceback if (found := _FRAME.match(line)) and not found["file"].startswith("<")]
    where = f"{shown(Path(places[-1]['file']))}:{places[-1]['line']}: " if places else ""
    return f"{where}{traceback[-1].strip() if traceback else 'it ended without a message'}"
