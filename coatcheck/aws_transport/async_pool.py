"""Kept connections to one endpoint, for an event loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

from coatcheck.aws_transport.aws_json import Reply
from coatcheck.aws_transport.endpoints import Endpoint
from coatcheck.aws_transport.exchange import Failure, connect_code
from coatcheck.aws_transport.http1 import AnswerReader, BadHttpAnswer
from coatcheck.aws_transport.retries import Trouble
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig


class AsyncPool:
    """Sends requests over connections that it keeps, all from one event loop."""

    def __init__(self, endpoint: Endpoint, make_tls: Callable[[], ssl.SSLContext], config: TransportConfig) -> None:
        self._endpoint, self._config = endpoint, config
        self._tls = make_tls
        self._idle: list[tuple[float, _Connection]] = []

    async def send(self, data: bytes, timeouts: Timeouts) -> Reply | Failure:
        """Send a request and wait for the whole answer."""
        kept = self._take()
        if kept is None:
            try:
                async with asyncio.timeout(timeouts.connect):
                    connection = await self._connect()
            except OSError as error:
                return Failure(connect_code(error))
        else:
            connection = kept
        reader = AnswerReader()
        try:
            async with asyncio.timeout(timeouts.answer):
                reply = await connection.exchange(data, reader)
        except TimeoutError:
            return Failure("ReadTimeoutError")
        except (OSError, BadHttpAnswer) as error:
            return self._broken(kept, reader, type(error).__name__)
        finally:
            self._put_back(connection, reader)
        return reply

    def close(self) -> None:
        """Close the connections that carry nothing now."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _broken(self, kept: _Connection | None, reader: AnswerReader, code: str) -> Failure:
        if kept is None or reader.has_begun:
            return Failure(code)
        # the others have been idle for as long
        self.close()
        return Failure(code, Trouble.CLOSED)

    def _take(self) -> _Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if connection.is_open and time.time() - since < self._config.idle_seconds:
                return connection
            connection.close()
        return None

    def _put_back(self, connection: _Connection, reader: AnswerReader) -> None:
        """Keep it, unless an answer is half read: whatever ended the exchange, a cancellation too."""
        if connection.is_open and reader.keeps_alive and len(self._idle) < self._config.idle_connections:
            # by the clock on the wall: a frozen function's other clock may have stood still
            self._idle.append((time.time(), connection))
        else:
            connection.close()

    async def _connect(self) -> _Connection:
        where = (self._endpoint.hostname, self._endpoint.port)
        tls = self._tls() if self._endpoint.is_tls else None
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, *where, ssl=tls)
        return connection


class _Connection(asyncio.Protocol):
    """Carries one request at a time. What arrives while it carries none ends it."""

    def __init__(self) -> None:
        self.is_open = False
        self._answer: asyncio.Future[Reply] | None = None
        self._reader: AnswerReader | None = None

    async def exchange(self, data: bytes, reader: AnswerReader) -> Reply:
        """Send a request and wait for the answer. Raises OSError and BadHttpAnswer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._reader = reader
        self._transport.write(data)
        try:
            return await self._answer
        finally:
            self._answer = self._reader = None

    def close(self) -> None:
        self.is_open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._reader is None or self._answer.done():
            self.close()
            return
        try:
            reply = self._reader.feed(data)
        except BadHttpAnswer as error:
            self._answer.set_exception(error)
            return
        if reply is not None:
            self._answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError())
