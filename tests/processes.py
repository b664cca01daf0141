"""The processes that a process has started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processes_below(process: int) -> Iterator[int]:
    """Yield the child processes of this one, and theirs, each after its parent."""
    children: list[str] = []
    # it may have just ended
    with suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for child in map(int, children):
        yield child
        yield from processes_below(child)


def processes_with(variable: str) -> list[str]:
    """Return the command lines of the processes that were started with `variable` (as `NAME=value`) set."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # it may have just ended, or be another user's
        with suppress(OSError):
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found
