"""A server that need not speak HTTP: what it does with a connection is a function of the test."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

Behave = Callable[[socket.socket], None]
RUNNING = b'{"id": "job_a", "status": "running", "done": false}'
DRIP = 0.05


@contextlib.contextmanager
def serving(*behaviours: Behave) -> Iterator[str]:
    """Its URL, while it treats each connection by the next behaviour, the last one again and again."""
    stopped = threading.Event()
    turns = itertools.chain(behaviours[:-1], itertools.repeat(behaviours[-1]))

    def treat(connection: socket.socket, behave: Behave) -> None:
        # a client that has had enough hangs up, and a test that is over sets the time limit
        with connection, contextlib.suppress(OSError):
            connection.settimeout(60)
            while b"\r\n\r\n" not in connection.recv(1 << 16) and not stopped.is_set():
                pass
            behave(connection)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=treat, args=(connection, next(turns)), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def answers(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> Behave:
    """One answer, and the connection is closed."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return sends("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)


def sends(*pieces: bytes, pause: float = 0.0) -> Behave:
    """These bytes, as they are."""
    return sends_all(lambda: iter(pieces), pause=pause)


def sends_all(pieces: Callable[[], Iterator[bytes]], *, pause: float = 0.0) -> Behave:
    """Pieces until there are no more, or the client goes away."""

    def behave(connection: socket.socket) -> None:
        for piece in pieces():
            connection.sendall(piece)
            time.sleep(pause)

    return behave


def endlessly(head: bytes, piece: bytes, *, pause: float = 0.0) -> Behave:
    """A beginning, and a piece again and again."""
    return sends_all(lambda: itertools.chain([head], itertools.repeat(piece)), pause=pause)


def silent(connection: socket.socket) -> None:
    """Nothing, until the client goes away."""
    while connection.recv(1 << 16):
        pass


def reads_nothing(connection: socket.socket) -> None:
    """Not even what is sent."""
    while connection.fileno() >= 0:
        connection.getpeername()
        time.sleep(DRIP)
