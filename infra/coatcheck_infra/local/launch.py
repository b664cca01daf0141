"""Starts the local stack, waits until it works, and stops it."""

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

from coatcheck_infra.local import environment
from coatcheck_infra.local.banner import banner
from coatcheck_infra.local.emulator import emulator
from coatcheck_infra.local.full_stack import full_stack_specs
from coatcheck_infra.local.home import StackEndpoint, lock_home
from coatcheck_infra.local.kept_state import open_state, origin_of, send_messages_again
from coatcheck_infra.local.process_stack import process_stack_specs
from coatcheck_infra.local.process_supervisor import ProcessSupervisor
from coatcheck_infra.local.processes import process_manager
from coatcheck_infra.local.readiness import wait_until_ready
from coatcheck_infra.local.reload import reload
from coatcheck_infra.local.resources import client
from coatcheck_infra.local.stack_context import StackContext
from coatcheck_infra.local.terminal import Terminal
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.template import read_template

BACKLOG = 512
READY_LIMIT = 60.0
SWEEPER = "sweeper"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class LaunchOptions:
    """The options of the command line. `port` 0 means any free port."""

    port: int
    home: Path
    full_stack: bool
    workers: int
    reload: bool
    fresh: bool
    verbose: bool


async def launch(options: LaunchOptions, inherited: Mapping[str, str], terminal: Terminal) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP. No process or temporary file of it remains.

    Raises `UpError`, alone or in exception groups, when it cannot start or continue.
    """
    began = time.monotonic()
    stop_on_signals()
    write_line = terminal.line_writer("up")
    with (
        contextlib.suppress(asyncio.CancelledError),
        open_listener(options.port) as listener,
        lock_home(options.home) as home,
        process_manager(terminal, home.endpoint, home.scratch) as started,
    ):
        open_state(home.state, origin_of(read_template()), write_line, fresh=options.fresh)
        write_line("starting the AWS emulator")
        async with emulator(home, inherited, started, whole=options.full_stack, verbose=options.verbose) as aws:
            stack = StackContext(
                url=f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}",
                listener=listener.fileno(),
                api_key=home.api_key(),
                workers=options.workers,
                emulator=aws,
                env=environment.child_environment(inherited, home.scratch, aws.url, aws.credentials),
                home=home,
                process_manager=started,
                write_line=write_line,
            )
            endpoint = StackEndpoint(
                url=stack.url,
                api_key=stack.api_key,
                aws_endpoint_url=aws.url,
                aws_access_key_id=aws.credentials.access_key_id,
                aws_secret_access_key=aws.credentials.secret_access_key,
                pid=os.getpid(),
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(aws.ended())
                await start_processes(stack, tasks, options)
                tasks.create_task(send_kept_messages(stack))
                with home.publish_endpoint(endpoint):
                    terminal.show(banner(endpoint, home.path, time.monotonic() - began))
                    await asyncio.Event().wait()
    write_line("stopped")


async def start_processes(stack: StackContext, tasks: asyncio.TaskGroup, options: LaunchOptions) -> None:
    """Create the resources and start the supervised processes. Returns when a first job has run through them."""
    specs = await (full_stack_specs if options.full_stack else process_stack_specs)(stack)
    reloads = options.reload and not options.full_stack
    supervisor = ProcessSupervisor(stack.process_manager, tasks, reloads=reloads)
    changed = {spec.name: supervisor.keep_running(spec) for spec in specs if spec.name != SWEEPER}
    if reloads:
        tasks.create_task(reload(changed, stack.write_line))
    stack.write_line(f"starting {', '.join(changed)}; waiting for a first job to finish")
    await wait_until_ready(stack.url, stack.api_key, READY_LIMIT)
    supervisor.ready = True
    # It sends messages for jobs kept from before, and the first job would wait behind them.
    changed.update({spec.name: supervisor.keep_running(spec) for spec in specs if spec.name == SWEEPER})


async def send_kept_messages(stack: StackContext) -> None:
    """Send the messages that were in the queues when the stack stopped."""
    sqs = client("sqs", stack.emulator.url, stack.emulator.credentials)
    if sent := await asyncio.to_thread(send_messages_again, stack.home.state, sqs):
        stack.write_line(f"sent {sent} messages again that were kept in {stack.home.state}")


def stop_on_signals() -> None:
    """Make the first of `STOP_SIGNALS` cancel the current task. Later ones do nothing: it is stopping already.

    A signal that is ignored, as SIGHUP under nohup, stays ignored.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    handled_signals = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def stop() -> None:
        for number in handled_signals:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in handled_signals:
        loop.add_signal_handler(number, stop)


@contextlib.contextmanager
def open_listener(port: int) -> Iterator[socket.socket]:
    """Listen on `port` of the loopback interface. Raises `UpError` if that fails."""
    try:
        listener = socket.create_server((environment.LOOPBACK, port), backlog=BACKLOG)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UpError(f"port {port} {why}: choose another with --port, or any free one with --port 0") from error
    with listener:
        yield listener
