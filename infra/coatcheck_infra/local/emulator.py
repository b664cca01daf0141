"""Starts MiniStack, the AWS emulator, in its own environment, watches it and stops it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import httpx

import coatcheck_infra
from coatcheck_infra.local import environment
from coatcheck_infra.local.code_cache import CODE_CACHE_VARIABLE
from coatcheck_infra.local.emulator_access import ACCESS_VARIABLE, STORES, WHOLE
from coatcheck_infra.local.home import Home
from coatcheck_infra.local.processes import ProcessManager, ProcessSpec, RunningProcess, describe_exit
from coatcheck_infra.local.state_store import PORT, STATE_VARIABLE
from coatcheck_infra.local.terminal import Terminal
from coatcheck_infra.local.up_error import UpError, user_message
from coatcheck_infra.toolchain.environments import MINISTACK

HEALTH_LIMIT = 30.0
HEALTH_PAUSE = 0.03
STOP_GRACE = 1.0
TAIL = 5

_LEVEL = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?P<level>[A-Z]+) ")
_LAMBDA = re.compile(r"^lambda (?P<function>\S+) (?P<text>.*)$")
_METRICS = '{"_aws":'
"""Begins a line that tells CloudWatch metrics, and nobody else anything."""

SHOWN_LEVELS = {"WARNING", "ERROR", "CRITICAL"}


class EmulatorLog:
    """Writes the emulator's full log to a file, and shows the important lines on the terminal.

    It shows warnings and errors with their continuation lines, or everything with `verbose`. It always shows the
    output of a Lambda function, under the label that `function_labels` has for it, but for its metrics.
    """

    def __init__(self, file: BinaryIO, terminal: Terminal, *, verbose: bool) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.function_labels: Mapping[str, str] = {}
        self._file: BinaryIO | None = file
        self._terminal = terminal
        self._verbose = verbose
        self._showing = False
        self.write_line = terminal.line_writer("aws")

    def __call__(self, line: str) -> None:
        self.tail.append(line)
        self._keep(line)
        if function_line := _LAMBDA.match(line):
            if function_line["text"].startswith(_METRICS) and not self._verbose:
                return
            label = self.function_labels.get(function_line["function"], "aws")
            self._terminal.line_writer(label)(function_line["text"])
            return
        if leveled_line := _LEVEL.match(line):
            self._showing = leveled_line["level"] in SHOWN_LEVELS
        if self._showing or self._verbose:
            self.write_line(line)

    def _keep(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            self._file = None
            self.write_line(f"the log file cannot be written any more: {user_message(error)}")


@dataclass(frozen=True)
class Emulator:
    url: str
    credentials: environment.Credentials
    log: EmulatorLog
    running: RunningProcess

    async def ended(self) -> NoReturn:
        """Wait for the emulator's end and raise `UpError`: nothing works without it."""
        status = await self.running.wait()
        raise UpError(
            f"the AWS emulator {describe_exit(status)}: {self.log.tail[-1] if self.log.tail else 'it wrote nothing'}"
        )


@contextlib.asynccontextmanager
async def emulator(
    home: Home, inherited: Mapping[str, str], process_manager: ProcessManager, *, whole: bool, verbose: bool
) -> AsyncIterator[Emulator]:
    """Run MiniStack on a free port of the loopback interface. It is healthy when the block begins.

    It has a new access key, and refuses requests without it. It has all services if `whole`, else only those of the
    stores.

    It is installed on first use. Raises `UpError` if that fails, or if it does not become healthy within 30 s.
    """
    python = await _installed(inherited, process_manager)
    port = _free_port(home.state / PORT)
    url = f"http://{environment.LOOPBACK}:{port}"
    credentials = environment.Credentials.random()
    env = environment.child_environment(inherited, home.scratch, url, credentials) | {
        ACCESS_VARIABLE: WHOLE if whole else STORES,
        "AUTH": "true",
        "PYTHONPATH": str(_import_path(home)),
        CODE_CACHE_VARIABLE: str(home.code_cache),
        "BIND_HOST": environment.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        STATE_VARIABLE: str(home.state),
    }
    # -P: without the folder it is started in, which has the owner's modules
    spec = ProcessSpec("aws", (str(python), "-P", "-m", "coatcheck_infra.local.ministack"), env)
    with (home.logs / "ministack.log").open("wb", buffering=0) as file:
        log = EmulatorLog(file, process_manager.terminal, verbose=verbose)
        running = await process_manager.start(spec, log)
        try:
            await _wait_until_healthy(found := Emulator(url, credentials, log, running))
            yield found
        finally:
            await running.stop(STOP_GRACE)


async def _installed(inherited: Mapping[str, str], process_manager: ProcessManager) -> Path:
    """Return the emulator's interpreter. Installs the emulator, in a process that ends with `up`, if needed."""
    python = MINISTACK.python(inherited)
    if python.exists():
        return python
    process_manager.terminal.line_writer("up")(MINISTACK.progress_line(inherited))
    last: deque[str] = deque(maxlen=1)
    install = ProcessSpec("up", (sys.executable, "-m", "coatcheck_infra.toolchain", MINISTACK.name), inherited)
    running = await process_manager.start(install, last.append)
    try:
        status = await running.wait()
    except asyncio.CancelledError:
        await running.stop()
        raise
    if status:
        raise UpError(last[-1] if last else f"the installation of {MINISTACK.title} {describe_exit(status)}")
    return python


def _import_path(home: Home) -> Path:
    """Return a folder with our package `coatcheck_infra` alone: the emulator must see nothing else that we import.

    What the Lambda functions import is in their zips.
    """
    folder = home.scratch / "emulator"
    folder.mkdir()
    (folder / "coatcheck_infra").symlink_to(Path(coatcheck_infra.__file__).parent)
    return folder


async def _wait_until_healthy(emulator: Emulator) -> None:
    try:
        async with asyncio.timeout(HEALTH_LIMIT), httpx.AsyncClient(trust_env=False) as http:
            while emulator.running.status is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{emulator.url}/_ministack/health")).is_success:
                        return
                await asyncio.sleep(HEALTH_PAUSE)
            outcome = describe_exit(await emulator.running.wait())
    except TimeoutError:
        outcome = f"was not healthy after {HEALTH_LIMIT:g} s"
    for line in emulator.log.tail:
        emulator.log.write_line(line)
    raise UpError(f"the AWS emulator {outcome}; see its last lines above")


def _free_port(kept: Path) -> int:
    """Return the port of the last start, which is in the file `kept`, if it is free: links name it. Else another."""
    last = int(text) if kept.exists() and (text := kept.read_text().strip()).isdecimal() else 0
    for port in (last, 0):
        with contextlib.suppress(OSError, OverflowError), socket.create_server((environment.LOOPBACK, port)) as probe:
            found: int = probe.getsockname()[1]
            kept.write_text(f"{found}\n")
            return found
    raise UpError("no port is free for the AWS emulator")
