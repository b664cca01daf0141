"""A server on this machine that gives the same answers in place of DynamoDB and SQS, as fast as may be."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Answer = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""What is answered to an operation (`GetItem`) with these parameters; bytes are sent as base64."""

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_OPERATION = re.compile(rb"x-amz-target: \w+\.(\w+)", re.IGNORECASE)


@contextmanager
def aws_answers(answer: Answer) -> Iterator[str]:
    """The address of a server that answers, until the block ends."""
    loop = asyncio.new_event_loop()
    open_connections: set[asyncio.Transport] = set()
    server = loop.run_until_complete(loop.create_server(lambda: _Connection(answer, open_connections), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for connection in open_connections:
            connection.abort()
        # what they have to do at their end is done by the loop
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answer, open_connections: set[asyncio.Transport]) -> None:
        self._answer, self._held = answer, b""
        self._open = open_connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        length, operation = _LENGTH.search(head), _OPERATION.search(head)
        if found and length and operation and len(body) >= int(length[1]):
            self._held = b""
            said = json.dumps(self._answer(operation[1].decode(), json.loads(body)), default=_base64).encode()
            start = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: "
            self._transport.write(f"{start}{len(said)}\r\n\r\n".encode() + said)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
