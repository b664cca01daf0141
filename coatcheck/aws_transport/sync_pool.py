"""Kept connections to one endpoint, for threads."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable

from coatcheck.aws_transport.aws_json import Reply
from coatcheck.aws_transport.endpoints import Endpoint
from coatcheck.aws_transport.exchange import Failure, connect_code
from coatcheck.aws_transport.http1 import AnswerReader, BadHttpAnswer
from coatcheck.aws_transport.retries import Trouble
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig

CHUNK = 64 * 1024


class SyncPool:
    """Sends requests over connections that it keeps. May be used from several threads: each has its own at a time."""

    def __init__(self, endpoint: Endpoint, make_tls: Callable[[], ssl.SSLContext], config: TransportConfig) -> None:
        self._endpoint, self._config = endpoint, config
        self._tls = make_tls
        self._idle: list[tuple[float, socket.socket]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    def send(self, data: bytes, timeouts: Timeouts) -> Reply | Failure:
        """Send a request and wait for the whole answer."""
        kept = self._take()
        if kept is None:
            try:
                connection = self._connect(timeouts.connect)
            except OSError as error:
                return Failure(connect_code(error))
        else:
            connection = kept
        reader = AnswerReader()
        is_good = False
        try:
            reply = _exchange(connection, data, reader, time.monotonic() + timeouts.answer)
            is_good = reply is not None and reader.keeps_alive
        except TimeoutError:
            return Failure("ReadTimeoutError")
        except (OSError, BadHttpAnswer) as error:
            return self._broken(kept, reader, type(error).__name__)
        finally:
            # whatever ends an exchange, a signal's exception too, what is half read is not used again
            self._put_back(connection) if is_good else _close(connection)
        return reply or self._broken(kept, reader, "ConnectionClosedError")

    def close(self) -> None:
        """Close the connections that carry nothing now."""
        with self._lock:
            _close_all(self._idle)

    def _broken(self, kept: socket.socket | None, reader: AnswerReader, code: str) -> Failure:
        if kept is None or reader.has_begun:
            return Failure(code)
        # the others have been idle for as long
        self.close()
        return Failure(code, Trouble.CLOSED)

    def _take(self) -> socket.socket | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.time() - since < self._config.idle_seconds and not _is_readable(connection):
                return connection
            _close(connection)

    def _put_back(self, connection: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < self._config.idle_connections:
                # by the clock on the wall: a frozen function's other clock may have stood still
                self._idle.append((time.time(), connection))
                return
        _close(connection)

    def _connect(self, timeout: float) -> socket.socket:
        plain = socket.create_connection((self._endpoint.hostname, self._endpoint.port), timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if not self._endpoint.is_tls:
                return plain
            return self._tls().wrap_socket(plain, server_hostname=self._endpoint.hostname)
        except BaseException:
            _close(plain)
            raise


def _exchange(connection: socket.socket, data: bytes, reader: AnswerReader, deadline: float) -> Reply | None:
    """Send and read. None if the connection ended before the answer did. Raises OSError and BadHttpAnswer."""
    connection.settimeout(_left(deadline))
    connection.sendall(data)
    while chunk := connection.recv(CHUNK):
        reply = reader.feed(chunk)
        if reply is not None:
            return reply
        connection.settimeout(_left(deadline))
    return None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _is_readable(connection: socket.socket) -> bool:
    """Whether something arrived on a connection that waits for nothing: its end, or what belongs to no request."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _close_all(idle: list[tuple[float, socket.socket]]) -> None:
    for _, connection in idle:
        _close(connection)
    idle.clear()


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.close()
