"""The confined process as its parent sees it: started, listened to, and ended with all that it started."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from coatcheck.confined.errors import BadAnswer, ConfinedError, Crashed, Killed, NotStarted
from coatcheck.confined.folders import Folders
from coatcheck.confined.limits import Limits
from coatcheck.confined.paths import import_paths
from coatcheck.confined.protections import Walls
from coatcheck.confined.reports import MAX_REPORT

BOOTSTRAP = "import sys; sys.path[:] = sys.argv[1].split('\\n'); from coatcheck.confined.child import main; main()"
# what the interpreter needs to start, and what time it is; nothing else of this environment is its business
PASSED_ENVIRONMENT = ("LD_LIBRARY_PATH", "TZ")
POLL_INTERVAL = 0.1
END_SECONDS = 2.0
READ_SIZE = 64 * 1024
MAX_SAID = 16 * 1024**2
MAX_LAST_WORDS = 4096
# sent by others, a kernel short of memory or a shutdown: what it was given may be sound
EXTERNAL_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Request:
    """What a confined process is to do."""

    function: str
    argument: object
    files: Mapping[str, Path]
    limits: Limits


class Process:
    """A confined process. As a context manager it ends with its block, however that ends."""

    def __init__(self, request: Request, folders: Folders) -> None:
        """Start it. Raises NotStarted, and TypeError for an argument that is no JSON."""
        imports = import_paths(folders.root)
        with tempfile.TemporaryFile() as given:
            given.write(json.dumps(_asked(request, folders, imports.readable, imports.listed)).encode())
            given.seek(0)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
                    [sys.executable, "-I", "-B", "-X", "utf8", "-c", BOOTSTRAP, "\n".join(imports.path)],
                    env=_environment(folders),
                    cwd=folders.scratch,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotStarted(f"the confined process could not be started: {error.strerror}") from error
        self._last_words: deque[bytes] = deque(maxlen=MAX_LAST_WORDS // 64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    @property
    def last_words(self) -> str:
        """The end of what it printed."""
        return b"".join(self._last_words)[-MAX_LAST_WORDS:].decode("utf-8", "replace").strip()

    def lines(self, look: Callable[[], None]) -> Iterator[bytes]:
        """What it reports, line by line until it ends. Calls `look` ten times a second at least, which may raise.

        Raises BadAnswer for a line that is too long, and for too many.
        """
        assert self._process.stdout
        assert self._process.stderr
        reports, printed = self._process.stdout.fileno(), self._process.stderr.fileno()
        unfinished, said = b"", 0
        with selectors.DefaultSelector() as selector:
            for pipe in (reports, printed):
                selector.register(pipe, selectors.EVENT_READ)
            while reports in selector.get_map():
                look()
                # what it printed first: a report may end this
                for key, _ in sorted(selector.select(POLL_INTERVAL), key=lambda one: one[0].fd == reports):
                    read = os.read(key.fd, READ_SIZE)
                    if not read:
                        selector.unregister(key.fd)
                    elif key.fd == printed:
                        self._remember(read)
                    else:
                        said += len(read)
                        *whole, unfinished = (unfinished + read).split(b"\n")
                        yield from whole
                        if len(unfinished) > MAX_REPORT or said > MAX_SAID:
                            raise BadAnswer("the process reported more than it may")

    def death(self) -> ConfinedError:
        """What its end without an answer means: BadAnswer, Killed or Crashed. For when there are no more lines."""
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return BadAnswer("the process closed its report and went on")
        self._read_last_words()
        if status == 0:
            return BadAnswer("the process ended without an answer")
        name = signal.Signals(-status).name if -status in signal.valid_signals() else None
        if -status in EXTERNAL_SIGNALS:
            return Killed(f"the confined process was ended from outside with {name}")
        return Crashed(status, name)

    def _read_last_words(self) -> None:
        assert self._process.stderr
        os.set_blocking(self._process.stderr.fileno(), False)
        with suppress(BlockingIOError):
            self._remember(os.read(self._process.stderr.fileno(), READ_SIZE))

    def _remember(self, read: bytes) -> None:
        end = read[-MAX_LAST_WORDS:]
        self._last_words.extend(end[at : at + 64] for at in range(0, len(end), 64))

    def _kill(self) -> None:
        # its whole session; where it cannot start processes that is itself
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _asked(request: Request, folders: Folders, readable: list[str], listed: list[str]) -> dict[str, object]:
    files = {name: str(path.resolve()) for name, path in request.files.items()}
    limits = request.limits
    # a second line: the parent kills it long before, if the parent is there
    cpu_seconds = None if limits.seconds is None else int(limits.seconds * (os.cpu_count() or 1)) + 10
    walls = Walls(
        parent=os.getpid(),
        memory=limits.memory,
        file_size=limits.disk,
        seconds=cpu_seconds,
        module=request.function.partition(":")[0],
        files=list(files.values()),
        readable=readable,
        listed=listed,
        root=str(folders.root),
        writable=[str(folders.output), str(folders.scratch)],
    )
    return {
        "function": request.function,
        "argument": request.argument,
        "files": files,
        "output": str(folders.output),
        "scratch": str(folders.scratch),
        "walls": asdict(walls),
    }


def _environment(folders: Folders) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    return passed | {"HOME": str(folders.scratch), "TMPDIR": str(folders.scratch)}
