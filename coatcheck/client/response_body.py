"""The body of an answer as it arrives: a long one is read past httpx, from the connection itself, in larger pieces."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import httpcore  # httpx is made of it, and does not translate the errors of its connection
import httpx

from coatcheck.client.threaded_digest import MAX_WAITING

DIRECT_FROM = 1024**2
"""Bytes that must be missing for a read past httpx to pay: it costs the connection, which is closed afterwards."""

PIECE = 1024**2
"""Bytes of a piece, at most. httpx reads 64 KB, and a GB is then 16,000 turns through its parser."""

BUFFERS = MAX_WAITING + 2
"""Pieces that have memory of their own, before that of the first is used again. One is filled, one hashed."""

LONGEST_FILL = 0.5
"""Seconds after which a piece that is not full is passed on, at the next arrival: it is seen that something comes."""


def read_body(response: httpx.Response) -> Iterator[bytes | memoryview]:
    """The bytes of the body, as they are sent. Raises httpx.TransportError where they end early or do not come.

    A piece that is a memoryview is overwritten once `BUFFERS - 1` others have followed.
    """
    chunks = response.iter_raw()
    first = next(chunks, b"")
    yield first
    left = _content_length(response) - len(first)
    if left < DIRECT_FROM:
        yield from chunks
        return
    # what has arrived of the body with the head was in the first chunk: all that comes now is body
    receive = _receiver(response.extensions["network_stream"], response.request.extensions["timeout"]["read"])
    for buffer in cycle([memoryview(bytearray(PIECE)) for _ in range(BUFFERS)]):
        piece = buffer[:left]
        filled, failure = _fill(piece, receive)
        left -= filled
        yield piece[:filled]
        if not left:
            return
        if failure is not None:
            raise failure
        if not filled:
            raise httpx.RemoteProtocolError(f"peer closed connection {left} bytes before the end of the body")


def _fill(piece: memoryview, receive: Callable[[memoryview], int]) -> tuple[int, httpx.TransportError | None]:
    """How many bytes were received into `piece`, and what went wrong after them."""
    filled, until = 0, time.monotonic() + LONGEST_FILL
    try:
        with _httpx_errors():
            while filled < len(piece) and (not filled or time.monotonic() < until):
                received = receive(piece[filled:])
                if not received:
                    break
                filled += received
    except httpx.TransportError as error:
        return filled, error
    return filled, None


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (OSError, httpcore.NetworkError) as error:
        raise httpx.ReadError(str(error)) from error


def _receiver(stream: httpcore.NetworkStream, timeout: float) -> Callable[[memoryview], int]:
    """What receives bytes of a connection into memory, as many as there are; none at its end."""
    socket = stream.get_extra_info("socket")
    # with TLS inside the TLS of a proxy, the socket knows only the outer one
    if socket is not None and not isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject):
        socket.settimeout(timeout)
        receive_into: Callable[[memoryview], int] = socket.recv_into
        return receive_into

    def read_into(memory: memoryview) -> int:
        received = stream.read(len(memory), timeout)
        memory[: len(received)] = received
        return len(received)

    return read_into


def _content_length(response: httpx.Response) -> int:
    """The number of bytes of the body, or 0 where no one number is announced or httpx has to take it apart."""
    declared = response.headers.get_list("content-length")
    plain = response.extensions.get("http_version") == b"HTTP/1.1" and "transfer-encoding" not in response.headers
    return int(declared[0]) if plain and len(declared) == 1 and "network_stream" in response.extensions else 0
