"""Restarts processes when their code changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchfiles import PythonFilter, awatch

from coatcheck_infra.local.processes import ROOT
from coatcheck_infra.local.terminal import LineWriter

PROCESSES_BY_PACKAGE = {
    "coatcheck": ("api", "worker", "sweeper"),
    "jobs": ("api", "worker", "sweeper"),
    "service": ("api",),
    "worker": ("worker", "sweeper"),
}
"""The processes that run the code of each package."""


async def reload(restart_events: Mapping[str, asyncio.Event], write_line: LineWriter, root: Path = ROOT) -> None:
    """Watch the packages under `root`, and set the event of each process that runs a changed file.

    Code that does not compile is reported and not loaded: the processes continue with the old code.
    """
    try:
        async for changes in awatch(*(root / package for package in PROCESSES_BY_PACKAGE), watch_filter=PythonFilter()):
            files = sorted({Path(path).relative_to(root) for _, path in changes})
            if compile_error := first_compile_error(root, files):
                write_line(f"not reloaded: {compile_error}")
                continue
            for name in {name for file in files for name in PROCESSES_BY_PACKAGE[file.parts[0]]}:
                restart_events[name].set()
            write_line(f"reloaded: {', '.join(map(str, files))}")
    except (OSError, RuntimeError) as error:
        write_line(f"code changes are no longer watched: {error}")


def first_compile_error(root: Path, files: Iterable[Path]) -> str | None:
    """Return the first compile error in `files`, as one line, or None. Deleted files are skipped."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            try:
                compile((root / file).read_bytes(), file, "exec")
            except SyntaxError as error:
                return f"{file}, line {error.lineno}: {error.msg}"
            except ValueError as error:
                return f"{file}: {error}"
    return None
