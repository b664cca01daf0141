"""Job types for trying the service: `demo.sleep` and `demo.bytes`."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

from coatcheck import Context, Reject, Result, RetryPolicy, hours, job, minutes
from jobs.models import GIB, Bytes, Failure, Sleep, Slept

POLL_INTERVAL = 0.1
CHUNK = 1024**2
MEMORY_TO_FILL = GIB


@job("demo.sleep", title="Sleep", timeout=hours(2), max_attempts=5, retry=RetryPolicy(base=0.5, cap=30))
def sleep(params: Sleep, ctx: Context) -> Slept:
    """Sleeps, reports progress, and fails in the way it is asked to: to try cancel, timeouts and retries.

    It sleeps in equal steps. The failure comes half way: after `steps // 2` of them.
    """
    began = time.monotonic()
    fail = FAILURES[params.fail] if ctx.attempt <= params.fail_attempts else _do_not_fail
    for step in range(params.steps):
        if step == params.steps // 2:
            fail()
        _sleep_until(began + params.seconds * (step + 1) / params.steps, ctx)
        ctx.progress((step + 1) / params.steps, f"step {step + 1} of {params.steps}")
    return Slept(slept=params.seconds)


def _sleep_until(moment: float, ctx: Context) -> None:
    while (left := moment - time.monotonic()) > 0:
        ctx.check()
        time.sleep(min(left, POLL_INTERVAL))


def _do_not_fail() -> None:
    pass


def _fail_transiently() -> NoReturn:
    raise RuntimeError("demo.sleep was asked for a transient failure")


def _fail_permanently() -> NoReturn:
    raise Reject("demo.sleep was asked for a permanent failure")


def _crash() -> NoReturn:
    os._exit(70)


def _exhaust_memory() -> NoReturn:
    """Grow to 1 GiB, or to what the machine or a limit allows, then end as the kernel's OOM killer ends a process."""
    held: list[bytes] = []
    try:
        while len(held) * 64 * CHUNK < MEMORY_TO_FILL:
            held.append(b"x" * (64 * CHUNK))
    finally:
        os._exit(137)


def _spin() -> NoReturn:
    while True:
        pass


FAILURES: Mapping[Failure, Callable[[], None]] = {
    "none": _do_not_fail,
    "transient": _fail_transiently,
    "permanent": _fail_permanently,
    "crash": _crash,
    "memory": _exhaust_memory,
    "spin": _spin,
}


@job("demo.bytes", title="Make bytes", timeout=minutes(30))
def make_bytes(params: Bytes, ctx: Context) -> Result:
    """A result of exactly so many reproducible bytes: to try large results."""
    return Result(_with_progress(params, ctx), params.content_type)


def _with_progress(params: Bytes, ctx: Context) -> Iterator[bytes]:
    sent = 0
    for chunk in deterministic_bytes(params.size, params.seed):
        ctx.progress(sent / params.size)
        yield chunk
        sent += len(chunk)


def deterministic_bytes(size: int, seed: int) -> Iterator[bytes]:
    """`size` bytes that depend on `seed` alone, in chunks of 1 MiB (the last may be shorter).

    Chunk n, counted from 0, is n in 8 bytes, big-endian, followed by bytes 8 to 1,048,575 of SHAKE-128 of the text
    `coatcheck demo.bytes {seed}`. So a missing, doubled or misplaced chunk shows, any language can make the same
    bytes, and the cost is that of copying memory.
    """
    block = memoryview(hashlib.shake_128(f"coatcheck demo.bytes {seed}".encode()).digest(CHUNK))
    for number in range(-(-size // CHUNK)):
        chunk = b"".join((number.to_bytes(8, "big"), block[8:]))
        yield chunk[: size - number * CHUNK]
