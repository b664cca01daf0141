"""The one job type of the kill tests: its input says what the handler is to do."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from coatcheck.context import Context
from coatcheck.deployment import Deployment
from coatcheck.retry import Reject, RetryLater, RetryPolicy
from coatcheck.table import items, moves
from coatcheck.table.keys import JobKey
from coatcheck.types import Continue, JobType, Result, catalog, handlers, handles
from worker.aws import Boto
from worker.tools import system_clock

FEW, MANY, HUGE = 100, 64 * 1024, 12 * 1024 * 1024
"""Bytes that fit into a row, that go to S3 in one request, and that go there in parts."""


class Deed(BaseModel):
    """What to do. `fails`: the attempts up to this one do not succeed. `padding` makes an input large."""

    do: str
    fails: int = 0
    padding: str = ""


WORK = JobType("kill.work", Deed, Result, timeout=600, max_attempts=8, retry=RetryPolicy(base=0, cap=0))
CATALOG = catalog(WORK)


def body(job_id: str, size: int) -> bytes:
    """The bytes that a job's result and its artifacts are made of: no two jobs have the same."""
    return random.Random(job_id).randbytes(size)


def _returns_few(_: Deed, ctx: Context) -> Result:
    return Result(body(ctx.job_id, FEW))


def _returns_many(_: Deed, ctx: Context) -> Result:
    with ctx.artifact("huge.bin") as file:
        file.write(body(ctx.job_id, HUGE))
    return Result(body(ctx.job_id, MANY))


def _raises(deed: Deed, ctx: Context) -> Result:
    if ctx.attempt <= deed.fails:
        raise ValueError("as it was asked to")
    return Result(body(ctx.job_id, FEW))


def _rejects(_: Deed, __: Context) -> Result:
    raise Reject("as it was asked to")


def _asks_for_later(deed: Deed, ctx: Context) -> Result:
    if ctx.attempt <= deed.fails:
        raise RetryLater(1)
    return Result(body(ctx.job_id, FEW))


def _continues(_: Deed, ctx: Context) -> Result | Continue:
    saved = body(ctx.job_id, MANY).hex()
    if ctx.checkpoint is None:
        return Continue(saved)
    if ctx.checkpoint != saved:
        raise Reject("the checkpoint is not what was saved")
    return Result(body(ctx.job_id, FEW))


def _looks(_: Deed, ctx: Context) -> Result:
    while True:
        ctx.check()
        time.sleep(0.05)


def _never_looks(_: Deed, __: Context) -> Result:
    while True:
        time.sleep(0.05)


def _canceled(deed: Deed, ctx: Context) -> Result:
    _cancel(ctx)
    return _looks(deed, ctx)


async def _canceled_while_awaiting(_: Deed, ctx: Context) -> Result:
    _cancel(ctx)
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def _cancel(ctx: Context) -> None:
    """What the API does when a client cancels a running job."""
    aws, table = Boto(), Deployment.from_env(os.environ).table
    job = aws.send(items.get_job(table, JobKey(ctx.tenant, ctx.job_id)))
    assert job is not None
    aws.send(moves.request_cancel(table, job, now=system_clock()))


_DEEDS: Mapping[str, Callable[[Deed, Context], Any]] = {
    "few": _returns_few,
    "many": _returns_many,
    "raise": _raises,
    "reject": _rejects,
    "later": _asks_for_later,
    "continue": _continues,
    "look": _looks,
    "never-look": _never_looks,
    "canceled": _canceled,
    "canceled-async": _canceled_while_awaiting,
}


@handles(WORK)
def work(deed: Deed, ctx: Context) -> Any:
    """Do what is asked for."""
    return _DEEDS[deed.do](deed, ctx)


HANDLERS = handlers(work)
