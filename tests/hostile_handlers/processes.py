"""Handlers that harm the process they run in, do not end, or start others."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import math
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

from coatcheck import Context
from coatcheck_worker.protocol import Channel, Raised
from tests.hostile_handlers.answers import FOREVER, Answer


def writes_garbage(_: Context) -> Answer:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\x00\x00\x00\x05\x00\x00\x00\x00{bad}")
    return Answer()


def answers_twice(_: Context) -> Answer:
    """Leave an answer in the channel for whoever comes next."""
    channel = next(one for one in gc.get_objects() if isinstance(one, Channel))
    channel.send(Raised(error="rejected", name="Forged", reason="forged"))
    return Answer()


def holds_the_gil(_: Context) -> Answer:
    ctypes.PyDLL(None).sleep(FOREVER)
    return Answer()


def swallows_stops(ctx: Context) -> Answer:
    while True:
        with contextlib.suppress(BaseException):
            ctx.check()
            time.sleep(0.05)


def swallows_signals(_: Context) -> Answer:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(FOREVER)
    return Answer()


async def waits(_: Context) -> Answer:
    await asyncio.Event().wait()
    return Answer()


async def swallows_cancellation(_: Context) -> Answer:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(FOREVER)


def forks(_: Context) -> Answer:
    """Both return."""
    os.fork()
    return Answer(text="done")


def daemonizes(_: Context) -> Answer:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(FOREVER)
        os._exit(0)
    return Answer(text="done")


def bombs(_: Context) -> Answer:
    for _number in range(6):
        os.fork()
    time.sleep(FOREVER)
    return Answer()


def leaves_grandchildren(_: Context) -> Answer:
    subprocess.run(["sh", "-c", f"sleep {FOREVER} & sleep {FOREVER}"], check=False)
    return Answer()


def spends_processor_time(_: Context) -> Answer:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
    while True:
        math.sqrt(2)


def breaks_the_protocol(_: Context) -> Answer:
    Channel.send = None  # type: ignore[method-assign,assignment]
    return Answer()


def signals_those_around(_: Context) -> Answer:
    refused = []
    supervisor = int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
    for process in (os.getppid(), supervisor, -os.getpgid(os.getppid())):
        try:
            os.kill(process, signal.SIGTERM)
        except PermissionError:
            refused.append(process)
    return Answer(text=f"{len(refused)} of 3 refused")
