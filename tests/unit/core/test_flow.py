"""A flow is the same by both drivers: what its calls answer, what they raise, and what it results in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from coatcheck.core.aws.call import AwsError, AwsUnavailable, Call
from coatcheck.core.aws.flow import Flow, run, run_async, send

T = TypeVar("T")


class Died(BaseException):
    """What no flow may take for an answer."""


@dataclass
class Answers:
    """A transport for both drivers: an answer is returned, an exception raised, in turn."""

    answers: list[Any]
    sent: list[str] = field(default_factory=list)

    def send(self, call: Call[T]) -> T:
        self.sent.append(call.operation)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return call.read(answer)


class AsyncAnswers(Answers):
    async def send(self, call: Call[T]) -> T:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().send(call)


Driver = Callable[[list[Any], Flow[Any]], Any]


def sync_driver(answers: list[Any], flow: Flow[T]) -> T:
    return run(Answers(answers), flow)


def async_driver(answers: list[Any], flow: Flow[T]) -> T:
    return asyncio.run(run_async(AsyncAnswers(answers), flow))


drivers = pytest.mark.parametrize("drive", [sync_driver, async_driver], ids=["sync", "async"])


def call(operation: str) -> Call[int]:
    return Call("dynamodb", operation, {}, read=lambda answer: answer["n"])


def unavailable() -> AwsUnavailable:
    return AwsUnavailable(call("Failed"), "Throttling")


def total(*operations: str) -> Flow[int]:
    result = 0
    for operation in operations:
        result += yield from send(call(operation))
    return result


@drivers
def test_each_answer_goes_into_the_flow_and_its_result_comes_out(drive: Driver) -> None:
    assert drive([{"n": 1}, {"n": 2}], total("GetItem", "Query")) == 3


@drivers
def test_a_flow_without_a_call_has_a_result(drive: Driver) -> None:
    assert drive([], total()) == 0


@drivers
def test_a_flow_runs_others(drive: Driver) -> None:
    def twice() -> Flow[int]:
        first = yield from total("GetItem")
        second = yield from total("GetItem", "Query")
        return first * second

    assert drive([{"n": 2}, {"n": 3}, {"n": 4}], twice()) == 14


@drivers
def test_an_error_is_raised_where_the_flow_sends_and_can_be_caught(drive: Driver) -> None:
    def careful() -> Flow[str]:
        try:
            yield from total("GetItem", "Query")
        except AwsError as error:
            # a call after one that failed is sent as any other
            return f"{error.code} {(yield from send(call('PutItem')))}"
        return "well"

    assert drive([{"n": 1}, unavailable(), {"n": 5}], careful()) == "Throttling 5"


@drivers
def test_an_error_that_the_flow_does_not_catch_is_raised(drive: Driver) -> None:
    error = unavailable()
    with pytest.raises(AwsUnavailable) as raised:
        drive([error], total("GetItem", "Query"))
    assert raised.value is error


@drivers
def test_what_reading_an_answer_raises_is_an_error_of_the_call(drive: Driver) -> None:
    def lenient() -> Flow[str]:
        try:
            yield from send(call("GetItem"))
        except KeyError:
            return "unreadable"
        return "read"

    assert drive([{}], lenient()) == "unreadable"


@drivers
def test_an_error_of_the_flow_itself_is_raised(drive: Driver) -> None:
    def wrong() -> Flow[None]:
        yield from total("GetItem")
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        drive([{"n": 1}], wrong())


def watched(seen: list[str]) -> Flow[int]:
    """Notes what ends it; sends again whatever is an error."""
    try:
        while True:
            try:
                return (yield from send(call("GetItem")))
            except Exception:  # noqa: BLE001 - it is to be caught
                seen.append("error")
    except BaseException as end:
        seen.append(type(end).__name__)
        raise
    finally:
        seen.append("closed")


@drivers
def test_the_end_of_a_process_closes_the_flow_and_is_no_error_of_a_call(drive: Driver) -> None:
    seen: list[str] = []
    with pytest.raises(Died):
        drive([unavailable(), Died()], watched(seen))
    assert seen == ["error", "GeneratorExit", "closed"]


def test_a_flow_is_closed_when_its_task_is_cancelled() -> None:
    class Stuck:
        async def send(self, _: Call[T]) -> T:
            await asyncio.Event().wait()
            raise AssertionError

    async def cancelled(seen: list[str]) -> None:
        task = asyncio.create_task(run_async(Stuck(), watched(seen)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    seen: list[str] = []
    asyncio.run(cancelled(seen))
    assert seen == ["GeneratorExit", "closed"]
