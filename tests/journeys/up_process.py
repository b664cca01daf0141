"""`coatcheck up` as a process of its own, as a user starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from coatcheck_infra.local.environment import Credentials
from tests.waiting import eventually

COATCHECK = (str(Path(sys.executable).with_name("coatcheck")),)
READY_LIMIT = 240.0
STOP_LIMIT = 12.0
"""Seconds: what runs has three, the emulator one more; the rest is for a machine that is busy."""

RunCli = Callable[..., subprocess.CompletedProcess[str]]
"""Types a `coatcheck` command, given its arguments, and waits for its end."""


@dataclass(frozen=True)
class Stack:
    """A stack that is ready: what its `endpoint.json` says, and where its things are."""

    url: str
    api_key: str
    aws_endpoint_url: str
    aws_access_key_id: str
    aws_secret_access_key: str
    pid: int
    home: Path
    log: Path

    @property
    def credentials(self) -> Credentials:
        """The key of its emulator."""
        return Credentials(self.aws_access_key_id, self.aws_secret_access_key)

    def client(self) -> httpx.Client:
        """A client of the API that has the key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def processes(self) -> dict[int, str]:
        """The command line of each process of the stack, by its number."""
        return processes_of(self.home)


class UpProcess:
    """A `coatcheck up`. Its output goes to a file, so that nothing waits for a reader.

    If not `is_named`, `home` is where its folder's project has it.
    """

    def __init__(
        self,
        home: Path,
        arguments: Iterable[str],
        log: Path,
        *,
        command: tuple[str, ...],
        cwd: Path | None,
        is_named: bool = True,
    ) -> None:
        self.home = home
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*command, "up", "--port", "0", *(("--home", str(home)) if is_named else ()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
            )

    def ready(self) -> Stack:
        """Wait until it is."""
        endpoint = self.home / "endpoint.json"
        eventually(lambda: endpoint.exists() or self.process.poll() is not None, READY_LIMIT, self.output)
        assert endpoint.exists(), self.output()
        described: Mapping[str, Any] = json.loads(endpoint.read_text())
        return Stack(**described, home=self.home, log=self.log)

    def output(self) -> str:
        return self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it as a user or a supervisor does; the answer is its exit status. Fails after STOP_LIMIT."""
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)

    def kill(self) -> None:
        """End it whatever happened, if it has not ended."""
        self.process.kill()
        self.process.wait()


def processes_of(home: Path) -> dict[int, str]:
    """The processes that carry `home` in their environment or command line, as all of a stack do (Linux)."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
            carried = command + (entry / "environ").read_bytes()
        except OSError:  # it is no process, or gone by now
            continue
        if str(home).encode() in carried:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode()
    return found
