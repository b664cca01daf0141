"""Whatever a handler raises or returns ends its attempt as documented, and the worker goes on."""

from __future__ import annotations

import asyncio
import decimal
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from coatcheck import Context, Reject, Result, RetryLater, Stopped
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack, Redeliver
from tests.aws.worker.worker_harness import Number, WorkerHarness, double

FAILED = "handler-error"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot be shown")


class Bare(Reject):
    def __init__(self) -> None:
        """Forget the parent's."""


class Changed(RetryLater):
    def __init__(self, after: Any) -> None:
        super().__init__(1)
        self.after = after


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    held: object


def raising(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    def handler(_: Number, __: Context) -> Number:
        raise error

    return handler


def retrying(after: Any) -> Callable[..., Any]:
    def handler(_: Number, __: Context) -> Number:
        raise RetryLater(after)

    return handler


def leaking_cancellation(_: Number, __: Context) -> Any:
    async def cancel_itself() -> Number:
        raise asyncio.CancelledError

    return cancel_itself()


def in_a_task_group(error: BaseException) -> Callable[..., Any]:
    async def fail() -> None:
        raise error

    async def handler(_: Number, __: Context) -> Number:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.sleep(60))
        raise AssertionError

    return handler


def leaving(_: Number, __: Context) -> Number:
    sys.exit(3)


@pytest.mark.parametrize(
    ("handler", "code", "detail"),
    [
        (leaving, FAILED, "the handler raised SystemExit in attempt 1 of 1"),
        (raising(KeyboardInterrupt), FAILED, "the handler raised KeyboardInterrupt in attempt 1 of 1"),
        (raising(GeneratorExit), FAILED, "the handler raised GeneratorExit in attempt 1 of 1"),
        (raising(BaseException), FAILED, "the handler raised BaseException in attempt 1 of 1"),
        (raising(MemoryError), FAILED, "the handler raised MemoryError in attempt 1 of 1"),
        (raising(Unprintable()), FAILED, "the handler raised Unprintable in attempt 1 of 1"),
        (raising(Stopped), FAILED, "the handler raised Stopped in attempt 1 of 1"),
        (raising(asyncio.CancelledError), FAILED, "the handler raised CancelledError in attempt 1 of 1"),
        (leaking_cancellation, FAILED, "the handler raised CancelledError in attempt 1 of 1"),
        (in_a_task_group(KeyError()), FAILED, "the handler raised ExceptionGroup in attempt 1 of 1"),
        (in_a_task_group(Reject("no")), "rejected", "no"),
        (in_a_task_group(Stopped()), FAILED, "the handler raised BaseExceptionGroup in attempt 1 of 1"),
        (raising(BaseExceptionGroup("a", [Stopped(), ExceptionGroup("b", [Reject("deep")])])), "rejected", "deep"),
        (raising(Reject(None)), "rejected", "the handler gave no reason"),  # type: ignore[arg-type]
        (raising(Reject("")), "rejected", "the handler gave no reason"),
        (raising(Reject(b"caf\xe9")), "rejected", "caf\ufffd"),  # type: ignore[arg-type]
        (raising(Reject(KeyError("a"))), "rejected", "'a'"),  # type: ignore[arg-type]
        (raising(Reject(Unprintable())), "rejected", "the handler gave no reason that can be shown (RuntimeError)"),  # type: ignore[arg-type]
        (raising(Reject("a\ud800\x00b")), "rejected", "a\ufffd\ufffdb"),
        (raising(Bare()), "rejected", "the handler gave no reason"),
        (retrying(float("nan")), FAILED, "the handler raised ValueError in attempt 1 of 1"),
        (retrying("soon"), FAILED, "the handler raised ValueError in attempt 1 of 1"),
    ],
)
def test_whatever_it_raises_fails_the_attempt(
    harness: WorkerHarness, handler: Callable[..., Any], code: str, detail: str
) -> None:
    job = harness.submit(max_attempts=1)
    assert harness.run(harness.dependencies(handler), job) == Ack()
    row = harness.row(job)
    assert row.error is not None
    assert (row.status, row.error.code, row.error.detail) == (Status.FAILED, code, detail)
    beside = harness.submit()
    harness.run(harness.dependencies(double), beside)
    assert harness.row(beside).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("after", "seconds"),
    [(float("nan"), 0), ("soon", 0), (None, 0), (-1, 0), (decimal.Decimal(30), 30), (float("inf"), 30 * DAY // SECOND)],
)
def test_a_wait_that_is_none_does_not_keep_it_from_settling(harness: WorkerHarness, after: Any, seconds: int) -> None:
    job = harness.submit()
    harness.run(harness.dependencies(raising(Changed(after))), job)
    row = harness.row(job)
    assert (row.status, row.attempt) == (Status.QUEUED, 1)
    assert row.start_at is not None
    assert 0 <= harness.clock() + seconds * SECOND - row.start_at < MINUTE


def test_a_retry_in_a_group_is_a_retry(harness: WorkerHarness) -> None:
    job = harness.submit()
    assert harness.run(harness.dependencies(in_a_task_group(RetryLater(30))), job) == Redeliver(30)


@pytest.mark.parametrize(
    ("returned", "output", "detail"),
    [
        (None, Number, "test.job returned None, not Number"),
        (b"bytes", Number, "test.job returned bytes, not Number"),
        (Result(b"bytes"), Number, "test.job returned Result, not Number"),
        (Number(n=1), Result, "test.job returned Number, not Result"),
        (b"bytes", Result, "test.job returned bytes, not Result"),
        (Number(n=1), type(None), "test.job returned Number, not None"),
        (Holder(held=object()), Holder, "test.job returned Holder with values that JSON lacks"),
        (Result(None), Result, "the body of a Result must be bytes, a path or yield bytes, not NoneType"),  # type: ignore[arg-type]
        (Result("text"), Result, "the body of a Result must be bytes, a path or yield bytes, not str"),  # type: ignore[arg-type]
        (Result([1]), Result, "a result must be bytes or yield bytes, and this one yielded int"),  # type: ignore[list-item]
    ],
)
def test_the_output_is_what_the_type_says(
    harness: WorkerHarness, returned: object, output: type[Any], detail: str
) -> None:
    job = harness.submit(max_attempts=1)
    harness.run(harness.dependencies(lambda *_: returned, output=output), job)
    error = harness.row(job).error
    assert error is not None
    assert (error.code, error.detail) == ("bad-result", detail)


def test_a_number_of_any_kind_is_progress(harness: WorkerHarness) -> None:
    def reporting(value: Number, ctx: Context) -> Number:
        fractions: tuple[Any, ...] = (decimal.Decimal("0.25"), True, 0.5)
        for fraction in fractions:
            ctx.progress(fraction, ValueError("a\ud800"))  # type: ignore[arg-type]
        return value

    job = harness.submit()
    harness.run(harness.dependencies(reporting), job)
    assert harness.row(job).status is Status.SUCCEEDED


def test_a_child_of_the_handler_settles_nothing(harness: WorkerHarness) -> None:
    def forking(value: Number, _: Context) -> Number:
        child = os.fork()
        if child:
            return Number(n=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return value

    job = harness.submit()
    harness.run(harness.dependencies(forking), job)
    row = harness.row(job)
    assert row.result is not None
    assert row.result.inline == b'{"n":70}'
    assert [event.type for event in row.history].count("job.succeeded") == 1


def test_a_handler_may_remove_its_folder(harness: WorkerHarness) -> None:
    def removing(value: Number, ctx: Context) -> Number:
        ctx.workdir.rmdir()
        return value

    job = harness.submit()
    harness.run(harness.dependencies(removing), job)
    assert harness.row(job).status is Status.SUCCEEDED


def test_a_machine_without_a_folder_for_it_hands_the_job_back(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    job = harness.submit(max_attempts=1)
    assert harness.run(harness.dependencies(double), job) == Redeliver(60)
    row = harness.row(job)
    assert row.status is Status.QUEUED
    monkeypatch.undo()
    harness.clock.ahead += 61 * SECOND
    harness.run(harness.dependencies(double), job)
    assert harness.row(job).status is Status.SUCCEEDED
