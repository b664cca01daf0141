"""Keeps the processes running: restarts them when their code changes, and when they end by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import NoReturn

from coatcheck_infra.local.processes import ProcessManager, ProcessSpec, RunningProcess, describe_exit
from coatcheck_infra.local.up_error import UpError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
# A process that fails within this time has code that cannot start; one that lived longer failed for another reason.
TOO_SOON = 5.0
STEADY = 30.0


@dataclass
class ProcessSupervisor:
    """Supervises processes.

    `ready` is set once the stack works. If a process ends before that, the stack cannot start. `reloads` says whether
    code changes are watched.
    """

    process_manager: ProcessManager
    tasks: asyncio.TaskGroup
    reloads: bool
    ready: bool = False

    def keep_running(self, spec: ProcessSpec) -> asyncio.Event:
        """Run `spec` until the task group ends. Setting the returned event restarts it."""
        changed = asyncio.Event()
        self.tasks.create_task(self._keep_running(spec, changed), name=spec.name)
        return changed

    async def _keep_running(self, spec: ProcessSpec, changed: asyncio.Event) -> NoReturn:
        write_line = self.process_manager.terminal.line_writer(spec.name)
        clock = asyncio.get_running_loop().time
        ends = 0
        while True:
            changed.clear()
            running = await self.process_manager.start(spec)
            started = clock()
            status = await _ended_or_changed(running, changed)
            if status is None:
                # The new process serves while the old one finishes its work, however long that takes.
                self.tasks.create_task(running.stop(None))
                ends = 0
                continue
            if not self.ready:
                raise UpError(f"the {spec.name} {describe_exit(status)} while starting; see its lines above")
            lived = clock() - started
            ends = 1 if lived > STEADY else ends + 1
            if self.reloads and status > 0 and lived < TOO_SOON:
                write_line(f"{describe_exit(status)}; it starts again when the code changes")
                await changed.wait()
            else:
                write_line(f"{describe_exit(status)}; starting it again in {restart_delay(ends):g} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), restart_delay(ends))


def restart_delay(ends: int) -> float:
    """Seconds before a process that ended `ends` times in a row is started again."""
    return min(FIRST_PAUSE * 2.0 ** (ends - 1), LONGEST_PAUSE)


async def _ended_or_changed(running: RunningProcess, changed: asyncio.Event) -> int | None:
    """Return the exit status of a process that ended, or None if its code changed. If cancelled, stop the process."""
    ended = asyncio.create_task(running.wait())
    change = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait({ended, change}, return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else None
    except asyncio.CancelledError:
        await running.stop()
        raise
    finally:
        ended.cancel()
        change.cancel()
