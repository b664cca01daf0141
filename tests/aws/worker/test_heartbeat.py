"""The heartbeat goes on whatever happens to it, and with it what rests on it: lease, timeout and cancel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from coatcheck.authoring.context import Context
from coatcheck.core.aws.call import AwsDenied, AwsUnavailable, Call
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job, Progress
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack, Redeliver
from coatcheck_worker.supervisor.attempt import JobAttempt
from tests.aws.worker.test_stops import HandlerNotStopped
from tests.aws.worker.worker_harness import Number, WorkerHarness, is_claim, is_heartbeat, with_lease
from tests.transports import Effect, Fault, FaultyTransport, Steps

PATIENCE = 60
"""Seconds in which a handler must have been told to stop."""

pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)


ERRORS: dict[str, Callable[[Call[Any]], Exception]] = {
    "out of memory": lambda _: MemoryError(),
    "a row of a newer version": lambda _: NewerRow("job_1 was written by a newer version of the service"),
    "a library's": lambda _: RuntimeError("cannot schedule new futures after shutdown"),
    "AWS out of reach": lambda call: AwsUnavailable(call, "ReadTimeoutError"),
    "AWS denies it": lambda call: AwsDenied(call, "AccessDeniedException"),
}
ANY_ERROR = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)


def fail_with(error: Callable[[Call[Any]], Exception]) -> Effect:
    def effect(call: Call[Any]) -> NoReturn:
        raise error(call)

    return effect


def polling_for_stop(_: Number, ctx: Context) -> Number:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ctx.check()
        time.sleep(0.02)
    raise HandlerNotStopped


@ANY_ERROR
def test_an_attempt_none_of_whose_beats_go_through_ends_at_its_timeout(
    harness: WorkerHarness, error: Callable[[Call[Any]], Exception]
) -> None:
    # beats are due before the timeout, and the lease is not out by then
    job = harness.submit(timeout=3 * SECOND)
    transport = FaultyTransport(harness.transport, Fault(fail_with(error), is_heartbeat))
    assert harness.run(with_lease(harness.dependencies(polling_for_stop, transport), 8), job) == Redeliver(0)
    assert any(map(is_heartbeat, transport.calls))
    assert harness.row(job).history[-1].error is not None


@ANY_ERROR
def test_an_attempt_none_of_whose_beats_go_through_ends_with_its_lease(
    harness: WorkerHarness, error: Callable[[Call[Any]], Exception]
) -> None:
    job = harness.submit()
    transport = FaultyTransport(harness.transport, Fault(fail_with(error), is_heartbeat))
    assert harness.run(with_lease(harness.dependencies(polling_for_stop, transport), 2), job) == Ack()
    assert harness.row(job).status is Status.RUNNING


def test_a_cancel_is_heard_after_beats_that_failed_and_for_all_a_progress_that_cannot_be_encoded(
    harness: WorkerHarness,
) -> None:
    failed = threading.Event()

    def fail(_: Call[Any]) -> NoReturn:
        failed.set()
        raise MemoryError

    transport = FaultyTransport(harness.transport, Fault(fail, is_heartbeat, times=2))

    attempts: list[JobAttempt | None] = []

    def report(value: Number, ctx: Context) -> Number:
        assert attempts[0] is not None
        attempts[0].heartbeat.set_progress(Progress(0.5, "\ud800"))  # past the border that mends it
        return polling_for_stop(value, ctx)

    job = harness.submit()
    canceling = threading.Thread(target=cancel_after, args=(failed, harness, job), daemon=True)
    canceling.start()
    assert harness.run(with_lease(harness.dependencies(report, transport), 8), job, attempts.append) == Ack()
    canceling.join()
    assert [event.type for event in harness.row(job).history][-2:] == ["job.canceling", "job.canceled"]


def cancel_after(event: threading.Event, harness: WorkerHarness, job: Job) -> None:
    assert event.wait(PATIENCE)
    outcome = harness.transport.send(
        transitions.request_cancel(harness.settings.table, harness.row(job), now=harness.clock())
    )
    assert isinstance(outcome, Job)


def test_a_clock_that_is_put_back_costs_no_lease_and_moves_it_not_back(harness: WorkerHarness) -> None:
    """Its beats are refused then, as one is that arrives after a later one: the lease that stands is its own."""
    beats: list[Any] = []

    def record(call: Call[Any]) -> Steps:
        beats.append((yield call))
        return beats[-1]

    def waiting(_: Number, ctx: Context) -> Number:
        harness.clock.ahead -= 20 * SECOND
        until = time.monotonic() + PATIENCE
        while len(beats) < 2:
            ctx.check()
            assert time.monotonic() < until
            time.sleep(0.02)
        return Number(n=7)

    job = harness.submit()
    transport = FaultyTransport(harness.transport, Fault(record, is_heartbeat))
    assert harness.run(with_lease(harness.dependencies(waiting, transport), 8), job) == Ack()
    row = harness.row(job)
    assert all(isinstance(answer, transitions.TransitionRefused) for answer in beats)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)


def test_the_lease_of_a_claim_whose_answer_was_slow_is_renewed_at_once(harness: WorkerHarness) -> None:
    def answer_slowly(call: Call[Any]) -> Steps:
        answer = yield call
        harness.clock.ahead += 40 * SECOND
        return answer

    def wait_for_a_beat(_: Number, ctx: Context) -> Number:
        until = time.monotonic() + 10
        while not any(map(is_heartbeat, transport.calls)):
            ctx.check()
            assert time.monotonic() < until
            time.sleep(0.02)
        return Number()

    job = harness.submit()
    transport = FaultyTransport(harness.transport, Fault(answer_slowly, is_claim))
    assert harness.run(harness.dependencies(wait_for_a_beat, transport), job) == Ack()
    assert harness.row(job).status is Status.SUCCEEDED
