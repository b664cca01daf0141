"""From nothing to a stack that works, and back."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.embedded import environment
from infra.embedded.banner import banner
from infra.embedded.emulator import emulator
from infra.embedded.failure import Failure
from infra.embedded.ground import Ground
from infra.embedded.home import Endpoint, taken
from infra.embedded.local import local_parts
from infra.embedded.logs import Terminal
from infra.embedded.processes import processes
from infra.embedded.ready import wait_until_ready
from infra.embedded.reload import reload
from infra.embedded.supervisor import Supervisor
from infra.embedded.whole import whole_parts

BACKLOG = 512
READY_LIMIT = 60.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Options:
    """What the command line says; `port` 0 is any free one."""

    port: int
    home: Path
    whole: bool
    workers: int
    reload: bool
    verbose: bool


async def launch(options: Options, inherited: Mapping[str, str], terminal: Terminal) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; nothing of it is left afterwards.

    Raises `Failure`, alone or in groups, when it cannot start or go on.
    """
    began = time.monotonic()
    stop_on_signals()
    say = terminal.speaker("up")
    with (
        contextlib.suppress(asyncio.CancelledError),
        listening(options.port) as listener,
        taken(options.home) as home,
        processes(terminal, home.endpoint, home.scratch) as started,
    ):
        say("starting the AWS emulator")
        async with emulator(home, inherited, started, verbose=options.verbose) as aws:
            ground = Ground(
                url=f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}",
                listener=listener.fileno(),
                api_key=home.api_key(),
                workers=options.workers,
                emulator=aws,
                env=environment.of_parts(inherited, home.scratch, aws.url),
                home=home,
                processes=started,
                say=say,
            )
            endpoint = Endpoint(ground.url, ground.api_key, aws.url, os.getpid())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(aws.ended())
                await start_parts(ground, tasks, options)
                with home.announced(endpoint):
                    terminal.show(banner(endpoint, home.path, time.monotonic() - began))
                    await asyncio.Event().wait()
    say("stopped")


async def start_parts(ground: Ground, tasks: asyncio.TaskGroup, options: Options) -> None:
    """Make the resources and keep the parts running; a job has gone through them when this returns."""
    parts = await (whole_parts if options.whole else local_parts)(ground)
    reloads = options.reload and not options.whole
    supervisor = Supervisor(ground.processes, tasks, reloads=reloads)
    changed = {part.name: supervisor.keep(part) for part in parts}
    if reloads:
        tasks.create_task(reload(changed, ground.say))
    ground.say(f"starting {', '.join(changed)}; waiting for a first job to go through")
    await wait_until_ready(ground.url, ground.api_key, READY_LIMIT)
    supervisor.ready = True


def stop_on_signals() -> None:
    """Make the first of `STOPPING` cancel the current task, and the others do nothing: it is stopping already.

    One that is ignored, as SIGHUP is under nohup, stays so.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    heeded = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]

    def stop() -> None:
        for number in heeded:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in heeded:
        loop.add_signal_handler(number, stop)


@contextlib.contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Listen on `port` of the loopback interface. Raises `Failure` where that cannot be."""
    try:
        listener = socket.create_server((environment.LOOPBACK, port), backlog=BACKLOG)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise Failure(f"port {port} {why}: choose another with --port, or any free one with --port 0") from error
    with listener:
        yield listener
