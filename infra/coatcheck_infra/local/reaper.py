"""Ends everything `coatcheck up` started once `up` is gone, even by kill -9.

It is run as a script with the paths to remove as arguments. On its stdin come the process groups to end, one
number a line; a negative number takes a group off the list. The input ends when `up` does, however that
happened: then every listed group is killed and the paths are removed. An orderly stop goes the same way.
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
    """The groups still listed when `lines` end."""
    groups: set[int] = set()
    for line in lines:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    return groups


def remove(path: Path) -> None:
    """Remove `path`, trying again for a second: a process that was just killed may still be writing there."""
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
