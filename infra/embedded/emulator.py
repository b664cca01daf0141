"""MiniStack, the AWS emulator: started in its own environment, watched, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

import httpx

from infra.embedded import environment
from infra.embedded.failure import Failure, reason
from infra.embedded.home import Home
from infra.embedded.logs import Terminal
from infra.embedded.processes import ROOT, Part, Processes, Running, ending
from infra.embedded.unpacked import DIRECTORY

PYTHON = ROOT / ".coatcheck" / "ministack" / "bin" / "python"
HEALTH_LIMIT = 30.0
HEALTH_PAUSE = 0.03
STOP_GRACE = 1.0
TAIL = 5

_LEVEL = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?P<level>[A-Z]+) ")
_LAMBDA = re.compile(r"^lambda (?P<function>\S+) (?P<text>.*)$")
LOUD = {"WARNING", "ERROR", "CRITICAL"}


class EmulatorLog:
    """Keeps the emulator's whole log in a file, and shows what matters of it on the terminal.

    Shown are warnings and errors with the lines that belong to them, and everything with `verbose`; what a
    Lambda function writes is shown always, as a line of the part that `speakers` names.
    """

    def __init__(self, file: BinaryIO, terminal: Terminal, *, verbose: bool) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.speakers: Mapping[str, str] = {}
        self._file: BinaryIO | None = file
        self._terminal = terminal
        self._verbose = verbose
        self._loud = False
        self.say = terminal.speaker("aws")

    def __call__(self, line: str) -> None:
        self.tail.append(line)
        self._keep(line)
        if spoken := _LAMBDA.match(line):
            part = self.speakers.get(spoken["function"], "aws")
            self._terminal.speaker(part)(spoken["text"])
            return
        if marked := _LEVEL.match(line):
            self._loud = marked["level"] in LOUD
        if self._loud or self._verbose:
            self.say(line)

    def _keep(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            self._file = None
            self.say(f"its log is no longer kept: {reason(error)}")


@dataclass(frozen=True)
class Emulator:
    url: str
    log: EmulatorLog
    running: Running

    async def ended(self) -> NoReturn:
        """Raises `Failure` when the emulator ends: nothing works without it, and what it kept is lost."""
        status = await self.running.wait()
        raise Failure(f"the AWS emulator {ending(status)}: {self.log.tail[-1] if self.log.tail else 'no word'}")


@contextlib.asynccontextmanager
async def emulator(
    home: Home, inherited: Mapping[str, str], processes: Processes, *, verbose: bool
) -> AsyncIterator[Emulator]:
    """Run MiniStack on a free port of the loopback interface; it is healthy when this begins.

    Raises `Failure` where it is not installed or does not become healthy within 30 s.
    """
    if not PYTHON.exists():
        raise Failure("the AWS emulator is not installed; run: make setup")
    port = _free_port()
    url = f"http://{environment.LOOPBACK}:{port}"
    env = environment.of_parts(inherited, home.scratch, url) | {
        "AUTH": "true",
        DIRECTORY: str(home.unpacked),
        "BIND_HOST": environment.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    part = Part("aws", (str(PYTHON), "-m", "infra.embedded.ministack"), env)
    with (home.logs / "ministack.log").open("wb", buffering=0) as file:
        log = EmulatorLog(file, processes.terminal, verbose=verbose)
        running = await processes.start(part, log)
        try:
            await _healthy(Emulator(url, log, running))
            yield Emulator(url, log, running)
        finally:
            await running.stop(STOP_GRACE)


async def _healthy(emulator: Emulator) -> None:
    try:
        async with asyncio.timeout(HEALTH_LIMIT), httpx.AsyncClient(trust_env=False) as http:
            while emulator.running.status is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{emulator.url}/_ministack/health")).is_success:
                        return
                await asyncio.sleep(HEALTH_PAUSE)
            outcome = ending(await emulator.running.wait())
    except TimeoutError:
        outcome = f"was not healthy after {HEALTH_LIMIT:g} s"
    for line in emulator.log.tail:
        emulator.log.say(line)
    raise Failure(f"the AWS emulator {outcome}; its last lines are above")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((environment.LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
