"""Both lean transports against connections that break, and endpoints that answer badly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coatcheck.aws_transport.async_transport import AsyncLeanTransport
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.sync_transport import LeanTransport
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig
from coatcheck.core.aws.call import AwsUnavailable, Call
from tests.aws.emulators import environ_of
from tests.aws.transport.faulty_endpoint import FaultyEndpoint, Move, faulty_endpoint

CONFIG = TransportConfig(Timeouts(connect=5.0, answer=20.0), attempts=3, idle_connections=4)
BRIEF = replace(CONFIG, timeouts=Timeouts(connect=5.0, answer=0.3))
CALL: Call[Any] = Call("dynamodb", "GetItem", {"TableName": "t"}, lambda answer: answer["Item"])
ITEM = {"n": {"N": "1"}}

Send = Callable[..., Any]
MakeSend = Callable[[TransportConfig], Send]


@pytest.fixture(scope="module")
def shared_endpoint() -> Iterator[FaultyEndpoint]:
    with faulty_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared_endpoint: FaultyEndpoint) -> FaultyEndpoint:
    shared_endpoint.plays()
    return shared_endpoint


def no_sdk() -> Any:
    raise AssertionError("the SDK is asked")


def environment(url: str) -> AwsEnvironment:
    return AwsEnvironment(environ_of(url), no_sdk, Path("/nowhere"), "")


@pytest.fixture(params=["threads", "event loop"])
def make_send(request: pytest.FixtureRequest, endpoint: FaultyEndpoint) -> Iterator[MakeSend]:
    """Makes what sends a call with a transport of this config."""
    if request.param == "threads":
        yield lambda config: LeanTransport(environment(endpoint.url), no_sdk, config).send
        return
    with asyncio.Runner() as runner, ExitStack() as made:

        def make(config: TransportConfig) -> Send:
            transport = AsyncLeanTransport(environment(endpoint.url), no_sdk, config)
            made.callback(lambda: runner.run(transport.aclose()))
            return lambda call: runner.run(transport.send(call))

        yield make


def test_a_connection_is_used_again(endpoint: FaultyEndpoint, make_send: MakeSend) -> None:
    send = make_send(CONFIG)
    assert [send(CALL) for _ in range(5)] == [ITEM] * 5
    assert endpoint.connections == 1


@pytest.mark.parametrize(
    ("moves", "connections"),
    [
        ([Move.CLOSE], 2),
        ([Move.RESET, Move.RESET], 3),
        ([Move.HALF], 2),
        ([Move.CHANGED], 1),
        ([Move.BUSY, Move.BUSY], 1),
        ([Move.CHANGED, Move.HALF], 2),
    ],
    ids=lambda value: ", ".join(move.value for move in value) if isinstance(value, list) else "",
)
def test_what_breaks_is_sent_again(
    endpoint: FaultyEndpoint, make_send: MakeSend, moves: list[Move], connections: int
) -> None:
    endpoint.plays(*moves)
    assert make_send(CONFIG)(CALL) == ITEM
    assert len(endpoint.requests) == len(moves) + 1
    assert endpoint.connections == connections


@pytest.mark.parametrize("move", [Move.CLOSE, Move.HALF, Move.CHANGED, Move.BUSY], ids=lambda move: move.value)
def test_it_is_given_up_after_three(endpoint: FaultyEndpoint, make_send: MakeSend, move: Move) -> None:
    endpoint.plays(*[move] * 5)
    with pytest.raises(AwsUnavailable):
        make_send(CONFIG)(CALL)
    assert len(endpoint.requests) == 3


def test_an_answer_that_does_not_come_is_not_waited_for(endpoint: FaultyEndpoint, make_send: MakeSend) -> None:
    endpoint.plays(*[Move.SILENCE] * 3)
    with pytest.raises(AwsUnavailable, match="ReadTimeoutError"):
        make_send(BRIEF)(CALL)
    assert endpoint.connections == 3, "what is half read is not used again"


@pytest.mark.parametrize(
    "move", [Move.ANSWER_AND_CLOSE, Move.ANSWER_AS_THE_LAST, Move.ANSWER_TWICE], ids=lambda move: move.value
)
def test_a_connection_that_has_ended_or_said_too_much_is_not_used_again(
    endpoint: FaultyEndpoint, make_send: MakeSend, move: Move
) -> None:
    send = make_send(CONFIG)
    endpoint.plays(move)
    assert send(CALL) == ITEM
    if move is Move.ANSWER_AND_CLOSE:
        assert endpoint.closed.wait(10)
    assert [send(CALL), send(CALL)] == [ITEM, ITEM]
    assert len(endpoint.requests) == 3, "none is lost"
    assert endpoint.connections == 2


def test_kept_connections_that_died_cost_no_attempt(endpoint: FaultyEndpoint) -> None:
    """After a night, or a freeze, all of them may be dead, and a load balancer tells of it only when it is asked."""
    transport = LeanTransport(environment(endpoint.url), no_sdk, CONFIG)
    with ThreadPoolExecutor(4) as pool:
        endpoint.plays(*[Move.ANSWER] * 4)
        list(pool.map(transport.send, [CALL] * 4))
    endpoint.plays(Move.RESET, Move.BUSY, Move.BUSY)
    with pytest.raises(AwsUnavailable):
        transport.send(CALL)
    assert len(endpoint.requests) == 3
    assert endpoint.connections == 1, "those that were idle as long are not tried one after another"


def test_a_connection_that_was_idle_for_long_is_not_used_again(endpoint: FaultyEndpoint, make_send: MakeSend) -> None:
    send = make_send(replace(CONFIG, idle_seconds=0.0))
    assert [send(CALL), send(CALL)] == [ITEM, ITEM]
    assert endpoint.connections == 2


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        transport = LeanTransport(environment(f"http://127.0.0.1:{unused.getsockname()[1]}"), no_sdk, CONFIG)
        with pytest.raises(AwsUnavailable, match="EndpointConnectionError"):
            transport.send(CALL)


def test_threads_have_connections_of_their_own(endpoint: FaultyEndpoint) -> None:
    transport = LeanTransport(environment(endpoint.url), no_sdk, CONFIG)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(transport.send, [CALL] * 200)) == [ITEM] * 200
    assert endpoint.connections <= 200
    assert len(endpoint.requests) == 200


async def test_a_canceled_request_leaves_no_answer_behind(endpoint: FaultyEndpoint) -> None:
    transport = AsyncLeanTransport(environment(endpoint.url), no_sdk, CONFIG)
    await transport.send(CALL)
    endpoint.plays(Move.SILENCE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await transport.send(CALL)
    assert await asyncio.gather(*(transport.send(CALL) for _ in range(5))) == [ITEM] * 5
    await transport.aclose()


class Interrupted(BaseException):
    """What a signal handler raises."""


def test_a_signal_that_ends_a_request_leaves_no_answer_behind(endpoint: FaultyEndpoint) -> None:
    transport = LeanTransport(environment(endpoint.url), no_sdk, CONFIG)
    transport.send(CALL)

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        endpoint.plays(Move.SILENCE)
        threading.Thread(target=_signal_once_asked, args=(endpoint,)).start()
        with pytest.raises(Interrupted):
            transport.send(CALL)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert transport.send(CALL) == ITEM
    assert endpoint.connections == 1, "the next request has a connection of its own"


def _signal_once_asked(endpoint: FaultyEndpoint) -> None:
    deadline = time.monotonic() + 30
    while not endpoint.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGUSR1)
