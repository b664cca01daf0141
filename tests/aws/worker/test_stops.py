"""Attempts that have to end before their handler is through."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.clock import MINUTE, SECOND
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.table import moves
from tests.aws.worker.world import Number, World, double
from worker.heart import Stop
from worker.tools import Again, Done

PATIENCE = 60
"""Seconds in which a handler must have been told to stop."""


class NeverStopped(BaseException):
    """Nobody told a handler to stop in all its patience. No Exception: it is no way for an attempt to end."""


class TestStops:
    """Each kind of handler, told to stop for each reason."""

    @staticmethod
    def looking(_: Number, ctx: Context) -> Number:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            ctx.check()
            time.sleep(0.02)
        raise NeverStopped

    @staticmethod
    async def awaiting(_: Number, __: Context) -> Number:
        await asyncio.sleep(PATIENCE)
        raise NeverStopped

    @pytest.mark.parametrize("handler", [looking, awaiting], ids=["sync", "async"])
    def test_a_canceled_job_stops(self, world: World, handler: Any) -> None:
        deployment = world.deployment.model_copy(update={"lease": 3})
        tools = replace(world.tools(handler), deployment=deployment)
        job = world.submit()
        canceling = threading.Thread(target=self._cancel_when_running, args=(world, job))
        canceling.start()
        assert world.run(tools, job) == Done()
        canceling.join()
        row = world.row(job)
        assert row.status is Status.CANCELED
        assert [event.type for event in row.history][-2:] == ["job.canceling", "job.canceled"]

    @staticmethod
    def _cancel_when_running(world: World, job: Job) -> None:
        while (row := world.row(job)).status is not Status.RUNNING:
            time.sleep(0.02)
        assert isinstance(world.door.send(moves.request_cancel(world.deployment.table, row, now=world.clock())), Job)

    @pytest.mark.parametrize("handler", [looking, awaiting], ids=["sync", "async"])
    def test_an_attempt_past_its_timeout_stops_and_the_last_ends_the_job(self, world: World, handler: Any) -> None:
        job = world.submit(timeout=1 * SECOND, max_attempts=2)
        tools = world.tools(handler)
        assert world.run(tools, job) == Again(0)
        assert world.run(tools, job) == Done()
        row = world.row(job)
        assert row.status is Status.TIMED_OUT
        assert row.error is not None
        assert row.error.code == "timed-out"

    def test_a_cancel_that_comes_before_the_end_wins(self, world: World) -> None:
        def canceled_meanwhile(_: Number, __: Context) -> Number:
            self._cancel_when_running(world, job)
            return Number()

        job = world.submit()
        world.run(world.tools(canceled_meanwhile), job)
        row = world.row(job)
        assert (row.status, row.result) == (Status.CANCELED, None)

    def test_a_worker_that_lost_its_lease_settles_nothing(self, world: World) -> None:
        def outlived(_: Number, __: Context) -> Number:
            world.clock.ahead += 5 * MINUTE
            assert world.sweep(world.tools(double)) == {"requeued": 1}
            return Number(n=666)

        job = world.submit({"n": 1})
        world.run(world.tools(outlived), job)
        assert world.row(job).status is Status.QUEUED
        world.run(world.tools(double), job)
        row = world.row(job)
        assert row.result is not None
        assert (row.attempt, row.result.inline) == (2, b'{"n":2}')

    def test_a_job_handed_back_loses_no_attempt(self, world: World) -> None:
        def stop_at_once(_: Number, ctx: Context) -> Number:
            ctx._heart.order(Stop.HANDED_BACK)  # type: ignore[attr-defined]  # what a SIGTERM does
            ctx.check()
            return Number()

        job = world.submit(max_attempts=1)
        assert world.run(world.tools(stop_at_once), job) == Again(0)
        assert world.run(world.tools(double), job) == Done()
        assert world.row(job).status is Status.SUCCEEDED
