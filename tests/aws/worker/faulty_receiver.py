"""A receiver of webhooks with moods: real sockets on loopback, and a note of every request."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.unit.worker.outbound.scripted_receivers import request

REFUSES, RESETS, SILENT, GARBAGE = "refuses", "resets", "silent", "garbage"
"""Moods without an answer. Every other mood is the start of an answer: `500 Oops`, with headers behind a line break."""

OK = "200 Fine"

ARRIVAL_TIMEOUT = 60.0
"""Seconds in which what was sent is there, on a machine as busy as it may be."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)
    """When, by the machine's clock, in seconds since the epoch."""


@dataclass
class FaultyReceiver:
    """Answers as its `mode` is. One that `refuses` does not even listen."""

    mode: str = OK
    received: list[ReceivedRequest] = field(default_factory=list)
    port: int = 0
    _listener: socket.socket | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it receives."""
        return f"http://127.0.0.1:{self.port}/hook"

    def set_mode(self, mode: str) -> None:
        """Change its mood, from the next connection on."""
        self.mode = mode
        if mode == REFUSES:
            self.close()
        elif self._listener is None:
            self.open()

    def open(self) -> None:
        """Listen; always on the same port."""
        self._listener = listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        until = time.monotonic() + ARRIVAL_TIMEOUT
        while len(self.received) < count:
            assert time.monotonic() < until, f"{len(self.received)} requests have arrived, not {count}"
            time.sleep(0.005)

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                conn, _ = listener.accept()
                threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        with suppress(OSError), conn:
            conn.settimeout(10)
            head, _, body = request(conn).partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")[1:]
            self.received.append(ReceivedRequest(dict(line.split(": ", 1) for line in lines), body))
            match self.mode:
                case "resets":
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                case "silent":
                    # until the sender gives up
                    conn.recv(1)
                case "garbage":
                    conn.sendall(b"\x16\x03\x01 220 mail ready\r\n")
                case mode:
                    conn.sendall(f"HTTP/1.1 {mode}\r\nContent-Length: 4\r\n\r\nwell".encode())


@contextmanager
def faulty_receiver() -> Iterator[FaultyReceiver]:
    """A receiver in a good mood."""
    made = FaultyReceiver()
    made.open()
    try:
        yield made
    finally:
        made.close()
