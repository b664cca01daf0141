"""Instructions that a process of Python takes, counted by valgrind's callgrind: alike however busy the machine is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

WARM_UP = 20
COUNTED = 200
"""So many times, the instructions of starting and stopping the count are less than a hundredth."""

_NOT_YET = "--instr-atstart=no"


def instructions(arguments: Sequence[str], *options: str, env: Mapping[str, str] | None = None) -> int:
    """Run `python` with these arguments to its end and return how many instructions it took. Raises RuntimeError.

    `options` are callgrind's own.
    """
    valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *options)
    command = [*valgrind, sys.executable, *arguments]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=env)  # noqa: S603 - our own modules
    found = re.search(r"Collected : (\d+)", ended.stderr)
    if ended.returncode or not found:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return int(found[1])


def instructions_each(arguments: Sequence[str], *, env: Mapping[str, str] | None = None) -> float:
    """Return the instructions of one of what a process does in `counting`, `COUNTED` times."""
    return instructions(arguments, _NOT_YET, env=env) / COUNTED


def repeat(act: Callable[[], object]) -> None:
    """In a process that `instructions_each` runs: act until all is warm, then be counted."""
    for _ in range(WARM_UP):
        act()
    with counting():
        for _ in range(COUNTED):
            act()


@contextmanager
def counting() -> Iterator[None]:
    """In a process that `instructions_each` runs: count what is done until the block ends."""
    _control("on")
    try:
        yield
    finally:
        _control("off")


def _control(state: str) -> None:
    # it comes with valgrind, and asks this process from outside
    command = ["callgrind_control", f"--instr={state}", str(os.getpid())]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed but for our own id
