"""The heartbeat goes on whatever happens to it, and with it what rests on it: lease, timeout and cancel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from coatcheck.calls import AwsDenied, AwsUnavailable, Call
from coatcheck.clock import SECOND
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from coatcheck.record import Job, Progress
from coatcheck.table import moves
from coatcheck.table.unknown import NewerRow
from tests.aws.worker.test_stops import NeverStopped
from tests.aws.worker.world import Number, World
from worker.aws import Aws
from worker.tools import Again, Done, Tools

T = TypeVar("T")

PATIENCE = 60
"""Seconds in which a handler must have been told to stop."""

pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)


class FailsBeats:
    """Fails each beat, before it is sent, as `fails` says; the others go through."""

    def __init__(self, door: Aws, fails: Callable[[Call[Any]], Exception | None]) -> None:
        self._door, self._fails = door, fails
        self.failed = threading.Event()

    def send(self, call: Call[T]) -> T:
        error = self._fails(call) if call.urgent else None
        if error is not None:
            self.failed.set()
            raise error
        return self._door.send(call)


ERRORS: dict[str, Callable[[Call[Any]], Exception]] = {
    "out of memory": lambda _: MemoryError(),
    "a row of a newer version": lambda _: NewerRow("job_1 was written by a newer version of the service"),
    "a library's": lambda _: RuntimeError("cannot schedule new futures after shutdown"),
    "AWS out of reach": lambda call: AwsUnavailable(call, "ReadTimeoutError"),
    "AWS denies it": lambda call: AwsDenied(call, "AccessDeniedException"),
}
ANY_ERROR = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)


def looking(_: Number, ctx: Context) -> Number:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ctx.check()
        time.sleep(0.02)
    raise NeverStopped


def with_lease(tools: Tools, seconds: float) -> Tools:
    return replace(tools, deployment=tools.deployment.model_copy(update={"lease": seconds}))


@ANY_ERROR
def test_an_attempt_none_of_whose_beats_go_through_ends_at_its_timeout(
    world: World, error: Callable[[Call[Any]], Exception]
) -> None:
    # beats are due before the timeout, and the lease is not out by then
    job = world.submit(timeout=3 * SECOND)
    door = FailsBeats(world.door, error)
    assert world.run(with_lease(world.tools(looking, door), 8), job) == Again(0)
    assert door.failed.is_set()
    assert world.row(job).history[-1].error is not None


@ANY_ERROR
def test_an_attempt_none_of_whose_beats_go_through_ends_with_its_lease(
    world: World, error: Callable[[Call[Any]], Exception]
) -> None:
    job = world.submit()
    assert world.run(with_lease(world.tools(looking, FailsBeats(world.door, error)), 2), job) == Done()
    assert world.row(job).status is Status.RUNNING


def test_a_cancel_is_heard_after_beats_that_failed_and_for_all_a_progress_that_cannot_be_encoded(
    world: World,
) -> None:
    errors = iter([MemoryError(), MemoryError()])
    door = FailsBeats(world.door, lambda _: next(errors, None))

    def report(value: Number, ctx: Context) -> Number:
        ctx._heart.tell(Progress(0.5, "\ud800"))  # type: ignore[attr-defined]  # past the border that mends it
        return looking(value, ctx)

    job = world.submit()
    canceling = threading.Thread(target=cancel_after, args=(door.failed, world, job), daemon=True)
    canceling.start()
    assert world.run(with_lease(world.tools(report, door), 8), job) == Done()
    canceling.join()
    assert [event.type for event in world.row(job).history][-2:] == ["job.canceling", "job.canceled"]


def cancel_after(event: threading.Event, world: World, job: Job) -> None:
    assert event.wait(PATIENCE)
    outcome = world.door.send(moves.request_cancel(world.deployment.table, world.row(job), now=world.clock()))
    assert isinstance(outcome, Job)


def test_a_clock_that_is_put_back_costs_no_lease_and_moves_it_not_back(world: World) -> None:
    """Its beats are refused then, as one is that arrives after a later one: the lease that stands is its own."""
    beats: list[Any] = []

    class Counting:
        def send(self, call: Call[T]) -> T:
            answer = world.door.send(call)
            if call.urgent:
                beats.append(answer)
            return answer

    def waiting(_: Number, ctx: Context) -> Number:
        world.clock.ahead -= 20 * SECOND
        until = time.monotonic() + PATIENCE
        while len(beats) < 2:
            ctx.check()
            assert time.monotonic() < until
            time.sleep(0.02)
        return Number(n=7)

    job = world.submit()
    assert world.run(with_lease(world.tools(waiting, Counting()), 8), job) == Done()
    row = world.row(job)
    assert all(isinstance(answer, moves.Refused) for answer in beats)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)
