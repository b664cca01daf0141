"""The child processes of `up`: one process group each, lines read whole, none outlives `up`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coatcheck_infra.local import reaper
from coatcheck_infra.local.terminal import LineWriter, Terminal
from coatcheck_infra.local.up_error import UpError

ROOT = Path(__file__).resolve().parents[3]
SOURCES = os.pathsep.join(str(ROOT / folder) for folder in ("service", "worker", "infra"))
"""Where a checkout has its packages; the folder that a process is started in has the others."""

STOP_GRACE = 3.0
LONGEST_LINE = 64 * 1024
CHUNK = 64 * 1024

# The shell tells the reaper its number before it becomes the part, and exec keeps the number. Were `up` to
# tell it, a kill -9 between the start and the telling would leave a process that nobody knows of.
REGISTER_AND_EXEC = 'echo $$ >&0; exec "$@" </dev/null'


@dataclass(frozen=True)
class ProcessSpec:
    """One program of the stack: the name its lines carry, its command, its whole environment, open files."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    fds: tuple[int, ...] = ()


class RunningProcess:
    """A part that was started: its process, its group, and the task that hands on its lines."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.Task[None], reaper_fd: int) -> None:
        self._process = process
        self._output = output
        self._reaper_fd = reaper_fd

    @property
    def status(self) -> int | None:
        """The exit status, negative for the signal that ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """The exit status, once it has ended. What it had started itself is killed then."""
        status = await self._process.wait()
        await self._end_group()
        return status

    async def stop(self, grace: float | None = STOP_GRACE) -> None:
        """Ask it to end, wait `grace` seconds for that (None: as long as it takes), then kill its whole group.

        Being cancelled cuts the wait short, not the kill.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
        finally:
            await self._end_group()

    async def _end_group(self) -> None:
        group = self._process.pid
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
        await self._process.wait()
        await asyncio.wait({self._output})
        with contextlib.suppress(BrokenPipeError):  # somebody ended the reaper
            os.write(self._reaper_fd, b"-%d\n" % group)


@dataclass(frozen=True)
class ProcessManager:
    """Starts parts. `reaper_fd` is where the reaper listens."""

    reaper_fd: int
    terminal: Terminal

    async def start(self, spec: ProcessSpec, write_line: LineWriter | None = None) -> RunningProcess:
        """Start `spec` in a process group of its own; its lines go to `write_line`, or to the terminal in its name."""
        # A pipe of our own: asyncio's would make `wait` wait for grandchildren that hold it open too.
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", REGISTER_AND_EXEC, spec.name, *spec.argv),
                stdin=self.reaper_fd,
                stdout=write,
                stderr=write,
                start_new_session=True,
                pass_fds=spec.fds,
                env={"PYTHONPATH": SOURCES, **spec.env},
                cwd=ROOT,
            )
        finally:
            os.close(write)
        output = asyncio.create_task(_forward_lines(read, write_line or self.terminal.line_writer(spec.name)))
        return RunningProcess(process, output, self.reaper_fd)

    async def run(self, spec: ProcessSpec) -> None:
        """Run `spec` to its end. Raises `UpError` where that is not a good one."""
        running = await self.start(spec)
        try:
            status = await running.wait()
        except asyncio.CancelledError:
            await running.stop()
            raise
        if status:
            raise UpError(f"the {spec.name} {describe_exit(status)}; see its lines above")


@contextlib.contextmanager
def process_manager(terminal: Terminal, *cleanup_paths: Path) -> Iterator[ProcessManager]:
    """Start a reaper (see `coatcheck_infra.local.reaper`), and give what starts parts under its eyes.

    On the way out, and when this process dies, it kills what is left of them and removes `cleanup_paths`.
    """
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", reaper.__file__, *map(str, cleanup_paths)],
        stdin=read_end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read_end)
    try:
        yield ProcessManager(write_end, terminal)
    finally:
        os.close(write_end)
        process.wait()


def describe_exit(status: int) -> str:
    """How a process ended, from its exit status."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


async def _forward_lines(read: int, write_line: LineWriter) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
    )
    try:
        async for line in lines(reader):
            write_line(line)
    finally:
        transport.close()


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of `reader`, the unfinished last one included; one over 64 KiB comes in pieces."""
    rest = b""
    while chunk := await reader.read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole.append(rest)
            rest = b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")
