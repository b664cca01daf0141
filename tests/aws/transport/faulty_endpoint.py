"""An endpoint on loopback that does what a script says with each request: real sockets, no AWS behind them."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum


class Move(Enum):
    """What is done with a request."""

    ANSWER = "an answer"
    ANSWER_AND_CLOSE = "an answer, and the end of the connection soon after"
    ANSWER_AS_THE_LAST = "an answer that says that it is the last"
    ANSWER_TWICE = "two answers"
    CLOSE = "no answer, but the end of the connection"
    RESET = "no answer, but a reset"
    HALF = "half an answer"
    SILENCE = "nothing"
    CHANGED = "an answer that was changed on its way"
    BUSY = "503, in the words of a load balancer"
    THROTTLED = "400, as DynamoDB answers too many requests"
    DENIED = "400, as AWS answers who lacks a permission"


BODY = b'{"Item":{"n":{"N":"1"}}}'
GOOD = b"HTTP/1.1 200 OK\r\nx-amz-crc32: 4170802822\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


def _error(code: str) -> bytes:
    body = b'{"__type":"com.amazonaws#%s","message":"no"}' % code.encode()
    return b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


_BYTES = {
    Move.ANSWER: GOOD,
    Move.ANSWER_AND_CLOSE: GOOD,
    Move.ANSWER_AS_THE_LAST: GOOD.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n"),
    Move.ANSWER_TWICE: GOOD + GOOD,
    Move.CLOSE: b"",
    Move.RESET: b"",
    Move.HALF: GOOD[:-5],
    Move.SILENCE: b"",
    Move.CHANGED: GOOD.replace(b'"1"', b'"2"'),
    Move.THROTTLED: _error("ProvisionedThroughputExceededException"),
    Move.DENIED: _error("AccessDeniedException"),
    Move.BUSY: b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy",
}
_ENDING = {Move.ANSWER_AND_CLOSE, Move.ANSWER_AS_THE_LAST, Move.CLOSE, Move.RESET, Move.HALF}


@dataclass
class FaultyEndpoint:
    """Takes one move of its script for each request, in the order in which they come; then always the other."""

    url: str
    script: list[Move] = field(default_factory=list)
    otherwise: Move = Move.ANSWER
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    def plays(self, *moves: Move) -> None:
        """From now on, this is the script."""
        self.script[:] = moves
        self.requests.clear()
        self.closed.clear()
        self.connections = 0


@contextmanager
def faulty_endpoint() -> Iterator[FaultyEndpoint]:
    """One that listens until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        endpoint = FaultyEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=_accept, args=(listener, endpoint), daemon=True).start()
        yield endpoint


def _accept(listener: socket.socket, endpoint: FaultyEndpoint) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            endpoint.connections += 1
            threading.Thread(target=_serve, args=(connection, endpoint), daemon=True).start()


def _serve(connection: socket.socket, endpoint: FaultyEndpoint) -> None:
    with connection, suppress(OSError):
        for request in _requests(connection):
            endpoint.requests.append(request)
            move = endpoint.script.pop(0) if endpoint.script else endpoint.otherwise
            connection.sendall(_BYTES[move])
            if move is Move.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if move in _ENDING:
                break
    endpoint.closed.set()


def _requests(connection: socket.socket) -> Iterator[bytes]:
    held = b""
    while chunk := connection.recv(65536):
        held += chunk
        head, found, rest = held.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if found and length and len(rest) >= int(length[1]):
            yield held
            held = b""
