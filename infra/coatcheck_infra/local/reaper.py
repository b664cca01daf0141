"""Kills everything that `coatcheck up` started when `up` has ended, even by kill -9.

It runs as a script; its arguments are the paths to remove. It reads the process groups to kill from stdin, one number
per line; a negative number removes a group from the list. The input ends when `up` ends, for whatever reason. Then the
reaper kills every listed group and removes the paths. It does this after an orderly stop too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

REMOVAL_TRIES = 50
REMOVAL_PAUSE = 0.02


def groups_left(lines: Iterable[str]) -> set[int]:
    """Return the groups that are still listed at the end of `lines`."""
    groups: set[int] = set()
    for line in lines:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    return groups


def remove(path: Path) -> None:
    """Remove `path`. Retry for a second, because a process that was just killed may still write there."""
    for _ in range(REMOVAL_TRIES):
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if not path.exists():
            return
        time.sleep(REMOVAL_PAUSE)


def main() -> None:
    for group in groups_left(sys.stdin):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for path in sys.argv[1:]:
        remove(Path(path))


if __name__ == "__main__":
    main()
