"""A flow: several calls in sequence, written once for the sync and the async transport. It sends nothing itself.

A flow is a generator. It yields each call and is sent its answer, as psycopg does for its two kinds of connections:
https://github.com/psycopg/psycopg/blob/master/psycopg/psycopg/waiting.py
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, Protocol, TypeAlias, TypeVar

from coatcheck.core.aws.call import Call

T = TypeVar("T")

Flow: TypeAlias = Generator[Call[Any], Any, T]
"""Calls, the answer to each, and the result of all. A flow runs once; to run it again, make it again."""


class Sender(Protocol):
    """What `run` needs of a transport."""

    def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsError."""


class AsyncSender(Protocol):
    """What `run_async` needs of a transport."""

    async def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsError."""


def send(call: Call[T]) -> Flow[T]:
    """One call inside a flow: `answer = yield from send(call)`. Raises what the transport raises."""
    answer: T = yield call
    return answer


def run(transport: Sender, flow: Flow[T]) -> T:
    """Send the flow's calls by a sync transport and return the flow's result.

    An error of a call is raised inside the flow, at its `yield from`, so that the flow can catch it. What the flow does
    not catch is raised here. Whatever ends the thread or the process in between is no error of a call: it closes the
    flow, which then sends nothing more.
    """
    with closing(flow):
        try:
            call = next(flow)
            while True:
                try:
                    answer = transport.send(call)
                except Exception as error:  # noqa: BLE001 - the flow decides what is an answer too
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


async def run_async(transport: AsyncSender, flow: Flow[T]) -> T:
    """As `run`, by an async transport. Cancelling the task closes the flow too."""
    with closing(flow):
        try:
            call = next(flow)
            while True:
                try:
                    answer = await transport.send(call)
                except Exception as error:  # noqa: BLE001 - as in `run`
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
