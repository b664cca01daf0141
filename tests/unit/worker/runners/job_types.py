"""`python -m tests.unit.worker.runners.job_types`: a forkserver with handlers that harm their process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog
from coatcheck.authoring.types import Catalog, Continue, JobType
from coatcheck_worker.runner.forkserver import main
from tests.mutants.mutant import BUG
from tests.waiting import eventually

MOST_SECONDS = 10.0


class Text(BaseModel):
    """What a job is given, and what it returns."""

    text: str = ""


def _leaves(_: str) -> str:
    sys.exit(3)


def _aborts(_: str) -> str:
    print("last words", flush=True)  # noqa: T201 - the output of a handler is what is tested
    os.abort()


def _changes_folder(folder: str) -> str:
    os.chdir(folder)
    return folder


def _starts_child(path: str) -> str:
    child = subprocess.Popen(["sleep", "120"])
    Path(path).write_text(str(child.pid))
    return path


def _starts_daemon(path: str) -> str:
    """A grandchild in a session of its own, whose parent ends."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(path).write_text(str(os.getpid()))
            time.sleep(120)
        os._exit(0)
    os.wait()
    # it is ended as soon as this job has: also before it has written its number
    eventually(lambda: Path(path).exists() and Path(path).read_text())
    return path


def _never_looks(path: str) -> str:
    _starts_child(path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(120)
    return path


def _removes_folder(_: str) -> str:
    shutil.rmtree(tempfile.gettempdir())
    return ""


def _replaces_folder(_: str) -> str:
    """By a file, in whose place nothing can be listed."""
    folder = Path(tempfile.gettempdir())
    shutil.rmtree(folder)
    folder.touch()
    return ""


def _logs(_: str) -> str:
    logging.getLogger("coatcheck_worker").warning("said", extra={"job": "job_other", "page": 3})
    return ""


PLAIN: dict[str, Callable[[str], str]] = {
    "process": lambda _: str(os.getpid()),
    "leaves": _leaves,
    "aborts": _aborts,
    "changes.folder": _changes_folder,
    "starts.child": _starts_child,
    "starts.daemon": _starts_daemon,
    "never.looks": _never_looks,
    "logs": _logs,
    "removes.folder": _removes_folder,
    "replaces.folder": _replaces_folder,
    "credentials": lambda _: ",".join(sorted(name for name in os.environ if name.startswith(("AWS_", "COATCHECK_")))),
    "reads.stdin": lambda _: sys.stdin.read(),
}


def _looks(given: Text, ctx: Context) -> Text:
    """Say that it has begun, and wait for a stop, or for longer than a test waits."""
    Path(given.text).touch()
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until:
        ctx.check()
        time.sleep(0.01)
    return Text(text="was not stopped")


def _looks_once(_: Text, ctx: Context) -> Text:
    ctx.check()
    return Text(text="was not stopped")


def _continues(_: Text, __: Context) -> Text | Continue:
    return Continue({"at": 1})


def _handler(work: Callable[[str], str]) -> Callable[[Text, Context], Text]:
    return lambda given, _: Text(text=work(given.text))


CATALOG: Catalog = catalog(
    JobType("looks", Text, Text, handler=_looks),
    JobType("looks.once", Text, Text, handler=_looks_once),
    JobType("continues", Text, Text, handler=_continues),
    JobType("fresh", Text, Text, handler=_handler(PLAIN["process"]), isolation="fresh"),
    *(JobType(name, Text, Text, handler=_handler(work)) for name, work in PLAIN.items()),
)

if __name__ == "__main__":
    if bug := os.environ.get(BUG):
        from tests.mutants.run import MUTANTS

        MUTANTS[bug].apply()
    main(CATALOG)
