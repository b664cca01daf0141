"""The child processes of `coatcheck up`: real ones, small enough to be read here."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from coatcheck_infra.local.process_supervisor import ProcessSupervisor
from coatcheck_infra.local.processes import LONGEST_LINE, ProcessManager, ProcessSpec, process_manager
from coatcheck_infra.local.terminal import Terminal
from coatcheck_infra.local.up_error import UpError


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def started(written: io.StringIO, tmp_path: Path) -> Iterator[ProcessManager]:
    (tmp_path / "scratch").mkdir()
    with process_manager(Terminal(Console(file=written, soft_wrap=True)), tmp_path, tmp_path / "scratch") as started:
        yield started
    assert not (tmp_path / "scratch").exists()


def shell(script: str, name: str = "worker") -> ProcessSpec:
    return ProcessSpec(name, ("/bin/sh", "-c", script), {"PATH": os.environ["PATH"]})


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


def is_running(number: int) -> bool:
    """Whether the process is there and is not just waiting to be collected by its parent."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_lines_of_parts_that_speak_at_once_are_not_torn(started: ProcessManager, written: io.StringIO) -> None:
    halves = "for i in 1 2 3 4 5 6 7 8 9; do printf 'first half, '; sleep 0.01; echo 'second half'; done"
    await asyncio.gather(*(started.run(shell(halves, name)) for name in ("api", "worker", "sweeper")))
    lines = written.getvalue().splitlines()
    assert sorted(lines) == sorted(
        f"{name}   │ first half, second half" for name in ("api    ", "worker ", "sweeper") for _ in range(9)
    )


async def test_a_last_line_without_an_end_and_bytes_that_are_no_text_are_shown(
    started: ProcessManager, written: io.StringIO
) -> None:
    await started.run(shell(r"printf 'a\377b\r\nlast'"))
    assert written.getvalue() == "worker    │ a\N{REPLACEMENT CHARACTER}b\nworker    │ last\n"


async def test_a_line_without_end_is_not_held_in_memory(started: ProcessManager) -> None:
    pieces: list[str] = []
    running = await started.start(shell("head -c 1000000 /dev/zero | tr '\\0' x"), pieces.append)
    assert await running.wait() == 0
    assert "".join(pieces) == "x" * 1_000_000
    assert max(map(len, pieces)) <= 3 * LONGEST_LINE


async def test_a_bad_end_is_a_failure(started: ProcessManager) -> None:
    with pytest.raises(UpError, match=r"the worker ended with status 7; see its lines above"):
        await started.run(shell("exit 7"))


async def test_what_does_not_stop_is_killed_with_all_it_started(started: ProcessManager, written: io.StringIO) -> None:
    running = await started.start(shell("trap '' TERM; sleep 100 & echo $! $$; wait; wait; wait"))
    await until(written.getvalue)
    numbers = [int(number) for number in written.getvalue().split("│")[1].split()]
    began = time.monotonic()
    await running.stop(grace=0.2)
    assert time.monotonic() - began < 2
    assert running.status == -9
    await until(lambda: not any(map(is_running, numbers)))


async def test_what_a_part_leaves_behind_ends_with_it(started: ProcessManager, written: io.StringIO) -> None:
    running = await started.start(shell("sleep 100 & echo $!; exit 0"))
    assert await running.wait() == 0
    # it was sent the signal; the system may take a moment to end it
    number = int(written.getvalue().split("│")[1])
    await until(lambda: not is_running(number))


async def test_a_part_gets_nothing_to_read_and_only_the_files_it_was_given(started: ProcessManager) -> None:
    lines: list[str] = []
    running = await started.start(shell("cat; ls /proc/self/fd | wc -l"), lines.append)
    assert await running.wait() == 0
    # the three of every process, and the directory that ls reads
    assert lines == ["4"]


async def test_parts_that_are_left_are_killed_at_the_end(written: io.StringIO, tmp_path: Path) -> None:
    with process_manager(Terminal(Console(file=written, soft_wrap=True)), tmp_path) as left:
        running = await left.start(shell("trap '' TERM; echo $$; while :; do sleep 1; done"))
        await until(written.getvalue)
    number = int(written.getvalue().split("│")[1])
    await until(lambda: not is_running(number))
    # it ended without us: let asyncio hear of it too, before its loop is closed
    assert await running._process.wait() == -9


async def test_a_part_that_ends_before_all_is_ready_ends_all(started: ProcessManager) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(UpError, match="the worker ended with status 3 while starting")):
        async with asyncio.TaskGroup() as tasks:
            ProcessSupervisor(started, tasks, reloads=True).keep_running(shell("exit 3"))


async def supervise(
    started: ProcessManager, part: ProcessSpec, *, reloads: bool, then: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    """Keep `part` as if all were ready, until `then` is done with its event; raises CancelledError."""
    async with asyncio.TaskGroup() as tasks:
        supervisor = ProcessSupervisor(started, tasks, reloads=reloads, ready=True)
        changed = supervisor.keep_running(part)
        await then(changed)
        raise asyncio.CancelledError


async def test_a_part_that_ended_is_started_again_after_a_growing_pause(
    started: ProcessManager, written: io.StringIO
) -> None:
    async def then(_changed: asyncio.Event) -> None:
        await until(lambda: "starting it again in 1 s" in written.getvalue())

    with pytest.raises(asyncio.CancelledError):
        await supervise(started, shell("echo hello; exit 3"), reloads=False, then=then)
    assert written.getvalue().splitlines() == [
        "worker    │ hello",
        "worker    │ ended with status 3; starting it again in 0.5 s",
        "worker    │ hello",
        "worker    │ ended with status 3; starting it again in 1 s",
    ]


async def test_code_that_cannot_start_waits_for_a_change(started: ProcessManager, written: io.StringIO) -> None:
    async def then(changed: asyncio.Event) -> None:
        await until(lambda: written.getvalue().count("\n") == 2)
        changed.set()
        await until(lambda: written.getvalue().count("\n") == 4)

    with pytest.raises(asyncio.CancelledError):
        await supervise(started, shell("echo hello; exit 3"), reloads=True, then=then)
    assert (
        written.getvalue().splitlines()[1] == "worker    │ ended with status 3; it starts again when the code changes"
    )


async def test_a_change_starts_the_new_while_the_old_finishes(started: ProcessManager, written: io.StringIO) -> None:
    script = "trap 'sleep 0.5; echo drained; exit 0' TERM; echo began; while :; do sleep 0.05; done"

    async def then(changed: asyncio.Event) -> None:
        await until(lambda: written.getvalue().count("began") == 1)
        changed.set()
        await until(lambda: "drained" in written.getvalue())

    with pytest.raises(asyncio.CancelledError):
        await supervise(started, shell(script), reloads=True, then=then)
    assert [line.split("│ ")[1] for line in written.getvalue().splitlines()][:3] == ["began", "began", "drained"]
