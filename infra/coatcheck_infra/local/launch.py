"""Starts the local stack, waits until it works, and stops it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from coatcheck.core.clock import system_clock
from coatcheck_infra.local import environment
from coatcheck_infra.local.api_keys import store_api_keys
from coatcheck_infra.local.banner import BannerFacts, banner
from coatcheck_infra.local.emulator import Emulator, emulator
from coatcheck_infra.local.full_stack import prepare_full_stack
from coatcheck_infra.local.home import Home, StackEndpoint, lock_home, refuse_home_in_use
from coatcheck_infra.local.kept_state import open_state, origin_of, send_messages_again
from coatcheck_infra.local.local_template import local_template
from coatcheck_infra.local.log_file import open_log
from coatcheck_infra.local.process_stack import prepare_process_stack
from coatcheck_infra.local.process_supervisor import ProcessSupervisor
from coatcheck_infra.local.processes import ProcessManager, process_manager
from coatcheck_infra.local.project_check import CheckedProject, check_at_start
from coatcheck_infra.local.readiness import wait_until_ready
from coatcheck_infra.local.reload import SWEEPER, Reloader
from coatcheck_infra.local.resources import client
from coatcheck_infra.local.stack_context import StackContext
from coatcheck_infra.local.terminal import Terminal
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.project.config import Project

BACKLOG = 512
READY_LIMIT = 60.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class LaunchOptions:
    """The options of the command line. `port` 0 means any free port. Without `front_door` it is the project's first."""

    port: int
    home: Path
    project: Project
    full_stack: bool
    workers: int
    reload: bool
    fresh: bool
    verbose: bool
    front_door: str | None = None

    @property
    def door(self) -> str:
        """The front door that clients are led to."""
        return self.front_door or self.project.config.api.front_door.split("+")[0]


async def launch(options: LaunchOptions, inherited: Mapping[str, str], terminal: Terminal) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP. No process or temporary file of it remains.

    Raises `UpError`, alone or in exception groups, when it cannot start or continue.
    """
    began = time.monotonic()
    # first: the one that runs has the port too, and another port would not help
    refuse_home_in_use(options.home)
    stop_on_signals()
    write_line = terminal.line_writer("up")
    with (
        contextlib.suppress(asyncio.CancelledError),
        open_listener(options.port) as listener,
        lock_home(options.home) as home,
        open_log(home.logs) as keep,
        process_manager(terminal, options.project.root, home.endpoint, home.environment, home.scratch) as started,
    ):
        terminal.also_keep(keep)
        template = local_template(options.project, inherited, options.door)
        open_state(home.state, origin_of(template), write_line, fresh=options.fresh)
        env = code_environment(options.project, inherited, home.scratch)
        for name in missing_secrets(options.project, inherited):
            write_line(f"no secret {name}: set this environment variable for coatcheck up, else handlers that ask fail")
        async with asyncio.TaskGroup() as early:
            # while the emulator starts
            check = early.create_task(check_at_start(options.project, started, env, home.scratch))
            write_line("starting the AWS emulator")
            async with emulator(home, inherited, started, whole=options.full_stack, verbose=options.verbose) as aws:
                stack = stack_context(
                    options,
                    inherited=inherited,
                    listener=listener,
                    home=home,
                    template=template,
                    processes=started,
                    aws=aws,
                )
                checked = await check
                for warning in checked.warnings:
                    write_line(warning)
                await run_stack(stack, checked, options, began)
    write_line("stopped")


def missing_secrets(project: Project, inherited: Mapping[str, str]) -> list[str]:
    """Return the declared secrets that the environment of `up` does not hold."""
    return sorted(project.config.handlers.secrets.keys() - inherited.keys())


def code_environment(project: Project, inherited: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Return an environment in which the project's code can be imported. It reaches no AWS."""
    env = environment.child_environment(inherited, scratch, "http://nowhere.invalid")
    return env | project.config.handlers.environment | {"PYTHONPATH": str(project.root)}


def stack_context(
    options: LaunchOptions,
    *,
    inherited: Mapping[str, str],
    listener: socket.socket,
    home: Home,
    template: Mapping[str, Any],
    processes: ProcessManager,
    aws: Emulator,
) -> StackContext:
    """Return what the parts of the stack share, with the emulator `aws`."""
    env = environment.child_environment(inherited, home.scratch, aws.url, aws.credentials)
    return StackContext(
        url=f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}",
        listener=listener.fileno(),
        api_keys=home.api_keys(options.project.config.local.tenants),
        workers=options.workers,
        emulator=aws,
        env=env | {"PYTHONPATH": str(options.project.root)},
        home=home,
        project=options.project,
        template=template,
        process_manager=processes,
        write_line=processes.terminal.line_writer("up"),
        front_door=options.door,
    )


async def run_stack(stack: StackContext, checked: CheckedProject, options: LaunchOptions, began: float) -> None:
    """Start everything, say so, and watch over it until the task is cancelled. `began` is the monotonic time."""
    credentials = stack.emulator.credentials
    endpoint = StackEndpoint(
        url=stack.url,
        api_key=stack.api_key,
        aws_endpoint_url=stack.emulator.url,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        pid=os.getpid(),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stack.emulator.ended())
        env = await start_processes(stack, checked, tasks, options)
        tasks.create_task(send_kept_messages(stack))
        with stack.home.publish(endpoint, env):
            runners = None if options.full_stack else options.workers
            found = stack.home.path == stack.project.home.resolve()
            ready = BannerFacts(endpoint, stack.home.path, stack.api_keys, checked.served, runners, found)
            stack.process_manager.terminal.show(banner(ready, time.monotonic() - began))
            await asyncio.Event().wait()


async def start_processes(
    stack: StackContext, checked: CheckedProject, tasks: asyncio.TaskGroup, options: LaunchOptions
) -> Mapping[str, str]:
    """Create the resources and start the supervised processes. Returns when a first job has run through them.

    Returns the environment in which another process can join the stack.
    """
    prepared = await (prepare_full_stack if options.full_stack else prepare_process_stack)(stack)
    await asyncio.to_thread(store_api_keys, stack, prepared.env["COATCHECK_TABLE"], system_clock())
    reloads = options.reload and not options.full_stack
    supervisor = ProcessSupervisor(stack.process_manager, tasks, reloads=reloads)
    changed = {spec.name: supervisor.keep_running(spec) for spec in prepared.specs if spec.name != SWEEPER}
    if reloads:
        reloader = Reloader(
            stack, checked.api_files, changed, code_environment(stack.project, stack.env, stack.home.scratch)
        )
        tasks.create_task(reloader.run())
    elif options.reload:
        stack.write_line("with --whole, changed code is not reloaded: stop `up` and start it again")
    stack.write_line(f"starting {', '.join(changed)}; waiting for a first job to finish")
    await wait_until_ready(stack.url, stack.api_key, READY_LIMIT)
    supervisor.ready = True
    # It sends messages for jobs kept from before, and the first job would wait behind them.
    changed.update({spec.name: supervisor.keep_running(spec) for spec in prepared.specs if spec.name == SWEEPER})
    return environment.joining_environment(prepared.env, stack.project.config.handlers.environment)


async def send_kept_messages(stack: StackContext) -> None:
    """Send the messages that were in the queues when the stack stopped."""
    sqs = client("sqs", stack.emulator.url, stack.emulator.credentials)
    try:
        sent = await asyncio.to_thread(send_messages_again, stack.home.state, sqs)
    except (BotoCoreError, ClientError, sqlite3.Error) as error:
        stack.write_line(f"kept messages were not sent again ({error}): the sweeper sends others within minutes")
        return
    if sent:
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
