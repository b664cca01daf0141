"""The body of an answer as it arrives: a long one is read past httpx, from the connection itself, in larger pieces."""

from __future__ import annotations

from collections.abc import Iterator

import httpcore  # httpx is made of it, and does not translate the errors of its connection
import httpx

DIRECT_FROM = 1024**2
"""Bytes that must be missing for a read past httpx to pay: it costs the connection, which is closed afterwards."""

PIECE = 256 * 1024
"""Bytes of a read, at most. httpx reads 64 KB, and a GB is then 16,000 turns through its parser."""


def read_body(response: httpx.Response) -> Iterator[bytes]:
    """The bytes of the body, as they are sent. Raises httpx.TransportError where they end early or do not come."""
    chunks = response.iter_raw()
    first = next(chunks, b"")
    yield first
    left = _content_length(response) - len(first)
    if left < DIRECT_FROM:
        yield from chunks
        return
    # what has arrived of the body with the head was in the first chunk: all that comes now is body
    stream = response.extensions["network_stream"]
    timeout = response.request.extensions["timeout"]["read"]
    while left:
        try:
            piece: bytes = stream.read(min(PIECE, left), timeout)
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout(str(error)) from error
        except httpcore.NetworkError as error:
            raise httpx.ReadError(str(error)) from error
        if not piece:
            raise httpx.RemoteProtocolError(f"peer closed connection {left} bytes before the end of the body")
        left -= len(piece)
        yield piece


def _content_length(response: httpx.Response) -> int:
    """The number of bytes of the body, or 0 where no one number is announced or httpx has to take it apart."""
    declared = response.headers.get_list("content-length")
    plain = response.extensions.get("http_version") == b"HTTP/1.1" and "transfer-encoding" not in response.headers
    return int(declared[0]) if plain and len(declared) == 1 and "network_stream" in response.extensions else 0
