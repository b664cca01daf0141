"""Starts parts afresh when the code they run changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchfiles import PythonFilter, awatch

from infra.embedded.logs import Say
from infra.embedded.processes import ROOT

READERS = {
    "coatcheck": ("api", "worker", "sweeper"),
    "jobs": ("api", "worker", "sweeper"),
    "service": ("api",),
    "worker": ("worker", "sweeper"),
}
"""The parts that run the code of each package."""


async def reload(parts: Mapping[str, asyncio.Event], say: Say, root: Path = ROOT) -> None:
    """Watch the packages under `root`; set the event of each part that runs a changed file.

    Code that cannot be compiled is told of and left alone: the parts go on with the code they have.
    """
    try:
        async for changes in awatch(*(root / package for package in READERS), watch_filter=PythonFilter()):
            files = sorted({Path(path).relative_to(root) for _, path in changes})
            if fault := first_fault(root, files):
                say(f"not reloaded: {fault}")
                continue
            for part in {part for file in files for part in READERS[file.parts[0]]}:
                parts[part].set()
            say(f"reloaded: {', '.join(map(str, files))}")
    except (OSError, RuntimeError) as error:
        say(f"changes of the code are not seen: {error}")


def first_fault(root: Path, files: Iterable[Path]) -> str | None:
    """What keeps the first of `files` from being compiled, on one line; a file that is gone has no fault."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            try:
                compile((root / file).read_bytes(), file, "exec")
            except SyntaxError as error:
                return f"{file}, line {error.lineno}: {error.msg}"
            except ValueError as error:
                return f"{file}: {error}"
    return None
