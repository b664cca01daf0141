"""Receivers that would keep a sender for ever: each ends when the deadline says so, or before."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import pytest

from coatcheck.core.ssrf import SsrfPolicy
from coatcheck_worker.webhooks.outbound.post import post
from coatcheck_worker.webhooks.outbound.request_errors import InvalidResponse, RequestFailed, TimedOut
from tests.unit.worker.outbound.scripted_receivers import OK, Authority, ReceiverScript, receiver

LOCAL = SsrfPolicy.local()
SECONDS = 0.5
AMPLE = 10.0
"""Seconds for what ends before its deadline."""

GRACE = 1.0
"""Seconds after the deadline by which a try has ended."""

HEAD = b"HTTP/1.1 200 OK\r\n"

DRIPS = {
    "nothing": ReceiverScript(b"", again=b"", pause=0.1),
    "status line": ReceiverScript(HEAD[:-2], again=b"!", pause=0.1),
    "header": ReceiverScript(HEAD + b"X: ", again=b"a", pause=0.1),
    "headers": ReceiverScript(HEAD, again=b"X: a\r\n", pause=0.1),
    "early hints": ReceiverScript(b"", again=b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.1),
    "continue": ReceiverScript(b"", again=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.1),
    "body": ReceiverScript(HEAD + b"Content-Length: 100000\r\n\r\n", again=b"a", pause=0.1),
    "body to the end": ReceiverScript(HEAD + b"\r\n", again=b"a", pause=0.1),
    "chunks": ReceiverScript(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", again=b"1\r\na\r\n", pause=0.1),
    "chunk size": ReceiverScript(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", again=b"0", pause=0.1),
    "trailers": ReceiverScript(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", again=b"X: a\r\n", pause=0.1),
}
FLOODS = {
    "status line": ReceiverScript(HEAD[:-2], again=b"!" * 4096),
    "header": ReceiverScript(HEAD + b"X: ", again=b"a" * 4096),
    "headers": ReceiverScript(HEAD, again=b"X: a\r\n" * 1000),
    "early hints": ReceiverScript(b"", again=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    "continue": ReceiverScript(b"", again=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "chunk extension": ReceiverScript(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", again=b"a" * 4096),
    "trailers": ReceiverScript(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", again=b"X: a\r\n" * 1000),
}
BODIES = {
    "with a length": ReceiverScript(HEAD + b"Content-Length: 10000000000\r\n\r\n", again=b"a" * 65_536),
    "to the end": ReceiverScript(HEAD + b"\r\n", again=b"a" * 65_536),
    "in chunks": ReceiverScript(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", again=b"400\r\n" + b"a" * 1024 + b"\r\n"),
}


@contextmanager
def ends(failure: type[RequestFailed] | None = None) -> Iterator[None]:
    """What is in here ends before its deadline, or, where it is TimedOut, at it."""
    threads = threading.active_count()
    begun = monotonic()
    with pytest.raises(failure) if failure else ExitStack():
        yield
    took = monotonic() - begun
    if failure is TimedOut:
        assert SECONDS <= took < SECONDS + GRACE
    else:
        assert took < AMPLE
    assert threading.active_count() <= threads + 1, "no more than the receiver's thread"


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> dict[str, Any]:
    """How to serve and how to trust, by the scheme."""
    secure = request.param == "https"
    return {
        "scheme": request.param,
        "server": authority.server("127.0.0.1") if secure else None,
        "context": authority.trusted() if secure else None,
    }


def send(port: int, tls: dict[str, Any], body: bytes = b"{}", seconds: float = SECONDS) -> bytes:
    url = f"{tls['scheme']}://127.0.0.1:{port}/"
    return post(url, body, {}, LOCAL, seconds=seconds, context=tls["context"]).body


@pytest.mark.parametrize("name", DRIPS)
def test_a_drip_is_cut_off(name: str, tls: dict[str, Any]) -> None:
    with receiver(DRIPS[name], tls["server"]) as here, ends(TimedOut):
        send(here.port, tls)


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_no_answer(name: str, tls: dict[str, Any]) -> None:
    with receiver(FLOODS[name], tls["server"]) as here, ends(InvalidResponse):
        send(here.port, tls, seconds=AMPLE)


@pytest.mark.parametrize("name", BODIES)
def test_of_an_endless_body_the_beginning_is_taken(name: str, tls: dict[str, Any]) -> None:
    with receiver(BODIES[name], tls["server"]) as here, ends():
        assert send(here.port, tls, seconds=AMPLE) == b"a" * 1024


def test_a_receiver_that_never_reads_is_cut_off(tls: dict[str, Any]) -> None:
    with receiver(ReceiverScript(b"", again=b"", pause=0.1, reads=False), tls["server"]) as here, ends(TimedOut):
        send(here.port, tls, b"a" * 20_000_000)


def test_a_tls_handshake_that_stalls_is_cut_off(authority: Authority) -> None:
    for first in (b"", b"\x16\x03\x03\x40\x00"):
        with receiver(ReceiverScript(first, again=b"", pause=0.1, reads=False)) as here, ends(TimedOut):
            send(here.port, {"scheme": "https", "context": authority.trusted()})


def test_a_connection_that_is_never_accepted_is_given_up() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(listener.getsockname()))
        with ends(TimedOut):
            send(listener.getsockname()[1], {"scheme": "http", "context": None})


def test_a_silent_address_leaves_time_for_the_next() -> None:
    with ExitStack() as stack:
        here = stack.enter_context(receiver(ReceiverScript(OK)))
        silent = stack.enter_context(socket.create_server(("127.0.0.2", here.port), backlog=0))
        stack.enter_context(socket.create_connection(silent.getsockname()))
        answers = [(0, 0, 0, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]
        url = f"http://receiver.example:{here.port}/"
        with ends():
            assert post(url, b"", {}, LOCAL, seconds=SECONDS, resolve=lambda *_, **__: answers).status == 200


def test_a_resolver_that_does_not_answer_is_not_waited_for() -> None:
    answer = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        answer.wait()
        return []

    with ends(TimedOut):
        post("https://slow.example/", b"", {}, SsrfPolicy.public(), seconds=SECONDS, resolve=resolve)
    answer.set()
