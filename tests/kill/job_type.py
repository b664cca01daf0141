"""The one job type of the kill tests: its input says what the handler is to do."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog
from coatcheck.authoring.retry import Reject, RetryLater, RetryPolicy
from coatcheck.authoring.types import Continue, Result, job
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import system_clock
from coatcheck_infra.local import environment
from coatcheck_worker.boto_transport import BotoTransport

FEW, MANY, HUGE = 100, 64 * 1024, 12 * 1024 * 1024
"""Bytes that fit into a row, that go to S3 in one request, and that go there in parts."""

TABLE = "KILL_TABLE"
"""The environment variable in which a handler finds the table."""


class KillInput(BaseModel):
    """What to do. `fails`: the attempts up to this one do not succeed. `padding` makes an input large."""

    do: str
    fails: int = 0
    padding: str = ""


def body(job_id: str, size: int) -> bytes:
    """The bytes that a job's result and its artifacts are made of: no two jobs have the same."""
    return random.Random(job_id).randbytes(size)


def _returns_few(_: KillInput, ctx: Context) -> Result:
    return Result(body(ctx.job_id, FEW))


def _returns_many(_: KillInput, ctx: Context) -> Result:
    with ctx.artifact("huge.bin") as file:
        file.write(body(ctx.job_id, HUGE))
    return Result(body(ctx.job_id, MANY))


def _raises(kill_input: KillInput, ctx: Context) -> Result:
    if ctx.attempt <= kill_input.fails:
        raise ValueError("as it was asked to")
    return Result(body(ctx.job_id, FEW))


def _rejects(_: KillInput, __: Context) -> Result:
    raise Reject("as it was asked to")


def _asks_for_later(kill_input: KillInput, ctx: Context) -> Result:
    if ctx.attempt <= kill_input.fails:
        raise RetryLater(1)
    return Result(body(ctx.job_id, FEW))


def _continues(_: KillInput, ctx: Context) -> Result | Continue:
    saved = body(ctx.job_id, MANY).hex()
    if ctx.checkpoint is None:
        return Continue(saved)
    if ctx.checkpoint != saved:
        raise Reject("the checkpoint is not what was saved")
    return Result(body(ctx.job_id, FEW))


def _looks(_: KillInput, ctx: Context) -> Result:
    while True:
        ctx.check()
        time.sleep(0.05)


def _never_looks(_: KillInput, __: Context) -> Result:
    while True:
        time.sleep(0.05)


def _canceled(kill_input: KillInput, ctx: Context) -> Result:
    _cancel(ctx)
    return _looks(kill_input, ctx)


async def _canceled_while_awaiting(_: KillInput, ctx: Context) -> Result:
    _cancel(ctx)
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def _cancel(ctx: Context) -> None:
    """What the API does when a client cancels a running job. A handler has no credentials but those of its own."""
    session = boto3.Session(environment.ACCESS_KEY, environment.SECRET_KEY, None, environment.REGION)
    aws, table = BotoTransport(session), os.environ[TABLE]
    job = aws.send(job_items.get_job(table, JobKey(ctx.tenant, ctx.job_id)))
    assert job is not None
    aws.send(transitions.request_cancel(table, job, now=system_clock()))


_ACTIONS: Mapping[str, Callable[[KillInput, Context], Any]] = {
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


@job("kill.work", timeout=600, max_attempts=8, retry=RetryPolicy(base=0, cap=0))
def work(kill_input: KillInput, ctx: Context) -> Result | Continue:
    """Do what is asked for."""
    done: Result | Continue = _ACTIONS[kill_input.do](kill_input, ctx)
    return done


CATALOG = catalog(work)
