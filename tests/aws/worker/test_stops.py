"""Attempts that have to end before their handler is through."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.authoring.context import Context
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack, Redeliver
from coatcheck_worker.supervisor.attempt import JobAttempt
from coatcheck_worker.supervisor.heartbeat import StopReason
from tests.aws.worker.worker_harness import Number, WorkerHarness, double

PATIENCE = 60
"""Seconds in which a handler must have been told to stop."""


class HandlerNotStopped(BaseException):
    """Nobody told a handler to stop in all its patience. No Exception: it is no way for an attempt to end."""


class TestStops:
    """Each kind of handler, told to stop for each reason."""

    @staticmethod
    def polling_for_stop(_: Number, ctx: Context) -> Number:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            ctx.check()
            time.sleep(0.02)
        raise HandlerNotStopped

    @staticmethod
    async def awaiting_stop(_: Number, __: Context) -> Number:
        await asyncio.sleep(PATIENCE)
        raise HandlerNotStopped

    @pytest.mark.parametrize("handler", [polling_for_stop, awaiting_stop], ids=["sync", "async"])
    def test_a_canceled_job_stops(self, harness: WorkerHarness, handler: Any) -> None:
        settings = harness.settings.model_copy(update={"lease": 3})
        dependencies = replace(harness.dependencies(handler), settings=settings)
        job = harness.submit()
        canceling = threading.Thread(target=self._cancel_when_running, args=(harness, job))
        canceling.start()
        assert harness.run(dependencies, job) == Ack()
        canceling.join()
        row = harness.row(job)
        assert row.status is Status.CANCELED
        assert [event.type for event in row.history][-2:] == ["job.canceling", "job.canceled"]

    @staticmethod
    def _cancel_when_running(harness: WorkerHarness, job: Job) -> None:
        while (row := harness.row(job)).status is not Status.RUNNING:
            time.sleep(0.02)
        assert isinstance(
            harness.transport.send(transitions.request_cancel(harness.settings.table, row, now=harness.clock())), Job
        )

    @pytest.mark.parametrize("handler", [polling_for_stop, awaiting_stop], ids=["sync", "async"])
    def test_an_attempt_past_its_timeout_stops_and_the_last_ends_the_job(
        self, harness: WorkerHarness, handler: Any
    ) -> None:
        job = harness.submit(timeout=1 * SECOND, max_attempts=2)
        dependencies = harness.dependencies(handler)
        assert harness.run(dependencies, job) == Redeliver(0)
        assert harness.run(dependencies, job) == Ack()
        row = harness.row(job)
        assert row.status is Status.TIMED_OUT
        assert row.error is not None
        assert row.error.code == "timed-out"

    def test_a_cancel_that_comes_before_the_end_wins(self, harness: WorkerHarness) -> None:
        def canceled_meanwhile(_: Number, __: Context) -> Number:
            self._cancel_when_running(harness, job)
            return Number()

        job = harness.submit()
        harness.run(harness.dependencies(canceled_meanwhile), job)
        row = harness.row(job)
        assert (row.status, row.result) == (Status.CANCELED, None)

    def test_a_worker_that_lost_its_lease_settles_nothing(self, harness: WorkerHarness) -> None:
        def outlived(_: Number, __: Context) -> Number:
            harness.clock.ahead += 5 * MINUTE
            assert harness.sweep(harness.dependencies(double)) == {"requeued": 1}
            return Number(n=666)

        job = harness.submit({"n": 1})
        harness.run(harness.dependencies(outlived), job)
        assert harness.row(job).status is Status.QUEUED
        harness.run(harness.dependencies(double), job)
        row = harness.row(job)
        assert row.result is not None
        assert (row.attempt, row.result.inline) == (2, b'{"n":2}')

    def test_a_job_handed_back_loses_no_attempt(self, harness: WorkerHarness) -> None:
        attempts: list[JobAttempt | None] = []

        def stop_at_once(_: Number, ctx: Context) -> Number:
            assert attempts[0] is not None
            attempts[0].heartbeat.request_stop(StopReason.HANDED_BACK)  # what a SIGTERM does
            ctx.check()
            return Number()

        job = harness.submit(max_attempts=1)
        assert harness.run(harness.dependencies(stop_at_once), job, attempts.append) == Redeliver(0)
        assert harness.run(harness.dependencies(double), job) == Ack()
        assert harness.row(job).status is Status.SUCCEEDED
