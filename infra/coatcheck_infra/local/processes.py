"""The child processes of `up`: each has a process group, its output is read by lines, and none outlives `up`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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

log = logging.getLogger(__name__)

STOP_GRACE = 3.0
LONGEST_LINE = 64 * 1024
CHUNK = 64 * 1024

# The shell sends its pid to the reaper before it becomes the program, and exec keeps the pid. If `up` sent it, a
# kill -9 between the start and the message would leave an orphan that the reaper does not know.
REGISTER_AND_EXEC = 'echo $$ >&0; exec "$@" </dev/null'


@dataclass(frozen=True)
class ProcessSpec:
    """One program of the stack: the label of its lines, its command, its environment, and its open files."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    fds: tuple[int, ...] = ()


class RunningProcess:
    """A started process, with its process group and the task that forwards its lines."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.Task[None], reaper_fd: int) -> None:
        self._process = process
        self._output = output
        self._reaper_fd = reaper_fd

    @property
    def status(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end and return the exit status. Then kill the process's own children."""
        status = await self._process.wait()
        await self._end_group()
        return status

    async def stop(self, grace: float | None = STOP_GRACE) -> None:
        """Send SIGTERM, wait up to `grace` seconds (None: without limit), then kill the whole process group.

        After half of the grace SIGTERM is sent again: a worker then hands its jobs back. If cancelled, it waits no
        longer but still kills.
        """
        try:
            for patience in [None] if grace is None else [grace / 2, grace / 2]:
                with contextlib.suppress(ProcessLookupError):
                    self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), patience)
                    return
        finally:
            await self._end_group()

    async def _end_group(self) -> None:
        group = self._process.pid
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
        await self._process.wait()
        await asyncio.wait({self._output})
        with contextlib.suppress(BrokenPipeError):  # the reaper was killed
            os.write(self._reaper_fd, b"-%d\n" % group)


@dataclass(frozen=True)
class ProcessManager:
    """Starts processes in the folder `cwd`. `reaper_fd` is the write end of the reaper's pipe."""

    reaper_fd: int
    terminal: Terminal
    cwd: Path

    async def start(self, spec: ProcessSpec, write_line: LineWriter | None = None) -> RunningProcess:
        """Start `spec` in its own process group. Its lines go to `write_line`, or to the terminal under its name."""
        # Use our own pipe: with one of asyncio, `wait` would also wait for grandchildren that hold it open.
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", REGISTER_AND_EXEC, spec.name, *spec.argv),
                stdin=self.reaper_fd,
                stdout=write,
                stderr=write,
                start_new_session=True,
                pass_fds=spec.fds,
                env=spec.env,
                cwd=self.cwd,
            )
        finally:
            os.close(write)
        output = asyncio.create_task(_forward_lines(read, write_line or self.terminal.line_writer(spec.name)))
        return RunningProcess(process, output, self.reaper_fd)

    async def run(self, spec: ProcessSpec) -> None:
        """Run `spec` to its end. Raises `UpError` unless it succeeds."""
        running = await self.start(spec)
        try:
            status = await running.wait()
        except asyncio.CancelledError:
            await running.stop()
            raise
        if status:
            raise UpError(f"the {spec.name} {describe_exit(status)}; see its lines above")


@contextlib.contextmanager
def process_manager(terminal: Terminal, cwd: Path, *cleanup_paths: Path) -> Iterator[ProcessManager]:
    """Start a reaper (see `coatcheck_infra.local.reaper`), and yield a manager of processes in `cwd` that it knows.

    When the block ends, or this process dies, the reaper kills the remaining processes and removes `cleanup_paths`.
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
        yield ProcessManager(write_end, terminal, cwd)
    finally:
        os.close(write_end)
        process.wait()


def describe_exit(status: int) -> str:
    """Describe from its exit status how a process ended."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


async def _forward_lines(read: int, write_line: LineWriter) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
    )
    try:
        async for line in lines(reader):
            try:
                write_line(line)
            except Exception:
                # whoever stops reading stops the process that writes
                log.exception("a line of a process could not be shown")
    finally:
        transport.close()


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield the lines of `reader`, including an unfinished last one. A line over 64 KiB comes in pieces."""
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
