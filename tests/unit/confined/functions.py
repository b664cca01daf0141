"""Functions for a confined process: sound ones, and what hostile input could make of one."""

# ruff: noqa: ARG001 - each is handed both, and few need both
from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from coatcheck import Reject
from coatcheck.confined import ConfinedContext

Given = dict[str, Any]


def double(given: Given, ctx: ConfinedContext) -> Given:
    """The number doubled, the text of each file as a file of its own, and progress."""
    ctx.progress(0.5, "half")
    (ctx.scratch / "left").write_text("over")
    for name, path in ctx.files.items():
        (ctx.output / name).write_text(path.read_text().upper())
    return {"number": given["number"] * 2}


def nothing(given: Given, ctx: ConfinedContext) -> None:
    pass


def print_much(given: Given, ctx: ConfinedContext) -> Given:
    for _ in range(50):
        print("x" * 1_000_000)  # noqa: T201 - that is the test
    return {"number": 1}


def reject(given: Given, ctx: ConfinedContext) -> None:
    raise Reject(given["reason"])


def fail(given: Given, ctx: ConfinedContext) -> None:
    raise ValueError("hush: the owner's own words")


def sleep(given: Given, ctx: ConfinedContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctx.progress(0.1, "asleep")
    time.sleep(60)


def spin(given: Given, ctx: ConfinedContext) -> None:
    while True:
        pass


def stop_itself(given: Given, ctx: ConfinedContext) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def end(given: Given, ctx: ConfinedContext) -> None:
    print("last words", flush=True)  # noqa: T201 - that is the test
    ENDS[given["how"]]()


def _close_all_and_stay() -> None:
    os.closerange(0, 200)
    time.sleep(60)


ENDS: dict[str, Callable[[], object]] = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "exit 0": lambda: os._exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "close": _close_all_and_stay,
}


def fill_memory(given: Given, ctx: ConfinedContext) -> None:
    held = []
    while True:
        held.append(b"x" * 1_000_000)


def fill_file(given: Given, ctx: ConfinedContext) -> None:
    with (ctx.scratch / "large").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1_000_000)


def fill_disk(given: Given, ctx: ConfinedContext) -> None:
    """With many files, each of them within the limit; slowly, as a disk is."""
    for number in range(1000):
        ctx.progress(0, f"{number}")
        (ctx.scratch / f"{number}").write_bytes(b"x" * 1_000_000)
        time.sleep(0.02)


def say(given: Given, ctx: ConfinedContext) -> None:
    """Write lines of its own to the parent, by every descriptor it has."""
    lines = given["lines"] if "lines" in given else [given["part"] * given["times"]]
    for descriptor in range(3, 200):
        try:
            for line in lines:
                left = line.encode() + b"\n"
                while left:
                    left = left[os.write(descriptor, left) :]
        except OSError:
            continue


def leave(given: Given, ctx: ConfinedContext) -> None:
    """What is no plain file, in the output."""
    (ctx.output / "folder").mkdir()


def user(given: Given, ctx: ConfinedContext) -> Given:
    """The user that it has, once it has written to its folders."""
    (ctx.output / "made").write_text("x")
    (ctx.scratch / "made").write_text("x")
    return {"number": os.getuid()}
