"""Handlers that harm their process, each in its own way. `python -m tests.hostile_handlers.handlers` serves them."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import decimal
import io
import json
import locale
import logging
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coatcheck import Context, Reject, Result, RetryLater, Stopped
from coatcheck.authoring.loading import catalog
from coatcheck.authoring.types import Catalog, JobType
from coatcheck_worker.runner.forkserver import main
from tests.hostile_handlers import processes
from tests.hostile_handlers.answers import FOREVER, MB, Answer, Nothing
from tests.hostile_handlers.reach import reachable


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot be shown")


def raises(error: BaseException | type[BaseException]) -> Callable[[Context], Any]:
    def handler(_: Context) -> Any:
        raise error

    return handler


def returns(value: Any) -> Callable[[Context], Any]:
    return lambda _: value


def does(*actions: Callable[[], object]) -> Callable[[Context], Answer]:
    """Do something to the process, and succeed."""

    def handler(_: Context) -> Answer:
        for action in actions:
            action()
        return Answer(text="done")

    return handler


async def tasks_look(ctx: Context) -> Answer:
    async def look() -> None:
        for step in range(20):
            ctx.progress(step / 20, f"step {step}")
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(look())
    return Answer(text="done")


async def rejects_in_a_task(_: Context) -> Answer:
    async def reject() -> None:
        raise Reject("in a task")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reject())
        tasks.create_task(asyncio.sleep(FOREVER))
    return Answer()


def recurses(ctx: Context) -> Answer:
    return recurses(ctx)


def takes_memory(_: Context) -> Answer:
    kept = []
    while True:
        kept.append(bytearray(16 * MB))


KEPT: list[bytearray] = []


def keeps_memory(_: Context) -> Answer:
    KEPT.append(bytearray(b"x") * (400 * MB))
    return Answer(text="done")


def prints(lines: int) -> Callable[[Context], Answer]:
    def handler(_: Context) -> Answer:
        for number in range(lines):
            print(number)  # noqa: T201 - that is what it does
        return Answer(text="done")

    return handler


def floods(size: int) -> Callable[[Context], Answer]:
    def handler(_: Context) -> Answer:
        chunk = b"x" * MB
        for _number in range(size // MB):
            os.write(1, chunk)
        return Answer(text="done")

    return handler


def redirects_stderr(_: Context) -> Answer:
    with contextlib.redirect_stderr(io.StringIO()) as captured:
        sys.stderr.write("captured")
        logging.getLogger("a.library").warning("a line\nERROR forged: line", extra={"job": "another", "tenant": "x"})
    return Answer(text=captured.getvalue())


def logs_much(ctx: Context) -> Answer:
    for number in range(2000):
        ctx.log.warning("line %d of %s", number, "x" * 200)
    ctx.log.warning("y" * 10 * MB)
    return Answer(text="done")


def removes_its_folder(ctx: Context) -> Answer:
    ctx.workdir.rmdir()
    return Answer(text="done")


def writes_to_a_full_disk(ctx: Context) -> Answer:
    # what a full disk answers to a write, as far as a process can have it alone
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB, resource.RLIM_INFINITY))
    (ctx.workdir / "much").write_bytes(b"x" * 2 * MB)
    return Answer()


def leaves_files(ctx: Context) -> Answer:
    (ctx.workdir / "left").write_bytes(b"x" * MB)
    Path(tempfile.mkdtemp(), "left").write_bytes(b"x" * MB)
    (ctx.workdir.parent / "link").symlink_to("/etc")
    return Answer(text="done")


def finds_files(ctx: Context) -> Answer:
    """Say what an earlier job left."""
    return Answer(text=" ".join(sorted(one.name for one in ctx.workdir.parent.iterdir() if one != ctx.workdir)))


def yields_forever(_: Context) -> Result:
    def body() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b"x"

    return Result(body())


def reads_a_pipe(ctx: Context) -> Result:
    os.mkfifo(ctx.workdir / "pipe")
    return Result(ctx.workdir / "pipe")


def reports(ctx: Context) -> Answer:
    ctx.progress(decimal.Decimal("0.5"), ValueError("a\ud800"))  # type: ignore[arg-type]
    return Answer(text="done")


def asks_for_all(ctx: Context) -> Answer:
    """Ask the supervisor for what is none of this job's business."""
    asked = ("AWS_SECRET_ACCESS_KEY", "COATCHECK_TABLE", "x" * 1000, "\n")
    given = []
    for name in asked:
        try:
            given.append(ctx.secret(name))
        except LookupError:
            continue
    return Answer(text=f"{len(given)} given")


def reaches(_: Context) -> Answer:
    """Say what of the worker's, and of other jobs', this process can reach."""
    return Answer(text=reachable())


def change_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C")


def read_stdin() -> None:
    assert sys.stdin.read() == ""


def alarm() -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(FOREVER)


def thread(*, daemon: bool) -> Callable[[], object]:
    return lambda: threading.Thread(target=time.sleep, args=(FOREVER,), daemon=daemon).start()


HANDLERS: dict[str, Callable[[Context], Any]] = {
    "works": does(),
    "exits_with_3": does(lambda: sys.exit(3)),
    "exits_with_0": does(sys.exit),
    "ends_with_0": does(lambda: os._exit(0)),
    "ends_with_4": does(lambda: os._exit(4)),
    "aborts": does(os.abort),
    "crashes": does(lambda: ctypes.string_at(0)),
    "kills_itself": does(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "terminates_itself": does(lambda: os.kill(os.getpid(), signal.SIGTERM)),
    "interrupts_itself": does(lambda: os.kill(os.getpid(), signal.SIGINT), lambda: time.sleep(1)),
    "stops_itself": does(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
    "kills_its_group": does(lambda: os.killpg(0, signal.SIGKILL)),
    "becomes_another": does(lambda: os.execv("/bin/sh", ["sh", "-c", "echo last words; exit 5"])),
    "closes_all": does(lambda: os.closerange(0, 4096)),
    "writes_garbage": processes.writes_garbage,
    "answers_twice": processes.answers_twice,
    "holds_the_gil": processes.holds_the_gil,
    "never_looks": does(lambda: time.sleep(FOREVER)),
    "swallows_stops": processes.swallows_stops,
    "swallows_signals": processes.swallows_signals,
    "waits": processes.waits,
    "swallows_cancellation": processes.swallows_cancellation,
    "tasks_look": tasks_look,
    "rejects_in_a_task": rejects_in_a_task,
    "recurses": recurses,
    "asks_for_much_memory": does(lambda: bytearray(10**12)),
    "takes_memory": takes_memory,
    "keeps_memory": keeps_memory,
    "prints_much": prints(10**6),
    "floods_stdout": floods(512 * MB),
    "redirects_stderr": redirects_stderr,
    "logs_much": logs_much,
    "replaces_stdout": does(lambda: setattr(sys, "stdout", io.StringIO())),
    "closes_stdout": does(lambda: sys.stdout.close()),  # noqa: PLW0108 - the stream of the runner, not of now
    "changes_folder": does(lambda: os.chdir("/")),
    "changes_umask": does(lambda: os.umask(0)),
    "changes_environment": does(lambda: os.environ.update(NEW="1")),
    "clears_environment": does(os.environ.clear),
    "changes_locale": does(change_locale),
    "handles_signals": does(lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)),
    "leaves_an_alarm": does(alarm),
    "changes_tempdir": does(lambda: setattr(tempfile, "tempdir", "/")),
    "leaves_a_thread": does(thread(daemon=True)),
    "leaves_a_thread_that_lasts": does(thread(daemon=False)),
    "leaves_a_child": does(lambda: subprocess.Popen(["sleep", str(FOREVER)])),
    "forks": processes.forks,
    "daemonizes": processes.daemonizes,
    "bombs": processes.bombs,
    "leaves_grandchildren": processes.leaves_grandchildren,
    "reads_stdin": does(lambda: subprocess.run(["cat"], check=True), read_stdin),
    "patches_json": does(lambda: setattr(json, "dumps", lambda *_, **__: "{}")),
    "patches_time": does(lambda: setattr(time, "time", lambda: 0.0), lambda: setattr(time, "monotonic", lambda: 0.0)),
    "patches_open": does(lambda: setattr(builtins, "open", None)),
    "breaks_the_protocol": processes.breaks_the_protocol,
    "traces": does(lambda: sys.settrace(lambda *_: None)),
    "changes_recursion": does(lambda: sys.setrecursionlimit(50_000)),
    "limits_descriptors": does(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))),
    "spends_processor_time": processes.spends_processor_time,
    "writes_to_a_full_disk": writes_to_a_full_disk,
    "leaves_files": leaves_files,
    "finds_files": finds_files,
    "removes_its_folder": removes_its_folder,
    "listens": does(lambda: socket.create_server(("127.0.0.1", 0))),
    "signals_those_around": processes.signals_those_around,
    "asks_for_all": asks_for_all,
    "reaches": reaches,
    "reports": reports,
    "yields_forever": yields_forever,
    "reads_a_pipe": reads_a_pipe,
    "names_no_file": returns(Result(Path("/nowhere"))),
    "returns_nothing": returns(None),
    "returns_a_dict": returns({"text": "a"}),
    "returns_empty_dict": returns({}),
    "raises_base_exception": raises(BaseException),
    "raises_generator_exit": raises(GeneratorExit),
    "raises_memory_error": raises(MemoryError),
    "raises_stopped": raises(Stopped),
    "raises_unprintable": raises(Unprintable()),
    "raises_much": raises(ValueError("x" * 10 * MB)),
    "raises_a_strange_class": raises(type("A\x1b\n" * 100, (Exception,), {})),
    "rejects_none": raises(Reject(None)),  # type: ignore[arg-type]
    "rejects_bytes": raises(Reject(b"caf\xe9")),  # type: ignore[arg-type]
    "rejects_in_groups": raises(BaseExceptionGroup("a", [Stopped(), ExceptionGroup("b", [Reject("deep")])])),
    "retries_never": raises(RetryLater(math.inf)),
}

BYTES = frozenset({"yields_forever", "reads_a_pipe", "names_no_file"})
"""Those whose output is a Result."""


def _job_type(name: str, handler: Callable[[Context], Any]) -> JobType[Any, Any]:
    output = Result if name in BYTES else Answer
    return JobType(f"hostile.{name}", Nothing, output, max_attempts=1, timeout=60, handler=lambda _, ctx: handler(ctx))


CATALOG: Catalog = catalog(*(_job_type(name, handler) for name, handler in HANDLERS.items()))

if __name__ == "__main__":
    main(CATALOG)
