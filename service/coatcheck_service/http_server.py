"""The API under uvicorn alone, with nothing in front: limits on what uvicorn waits for without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of a request line and its headers. uvicorn itself has no limit with httptools."""

MAX_CONNECTIONS = 2000
"""Connections at once. Who comes beyond that gets a 503, with the first request."""

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a time for the headers and one for the body, and a limit on the size of the headers.

    A connection that is idle after a response is closed by uvicorn itself after five seconds.
    """

    header_seconds = 10.0
    """From the connection, or from the first byte of another request, until the headers are there."""

    body_seconds = 60.0
    """From the headers until the body is there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_headers = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the headers of the first request."""
        super().connection_made(transport)
        self._close_after(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived. What is still no end of the headers counts as headers."""
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a request."""
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._close_after(self.header_seconds)

    def on_headers_complete(self) -> None:
        """Begin to wait for the body."""
        self._in_headers = False
        self._close_after(self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Take the time that the answer needs: that is the app's concern."""
        self._cancel_timer()
        super().on_message_complete()

    def _close_after(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self._refuse, _TIMED_OUT)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, response: bytes) -> None:
        """End the connection, with an answer unless the app is answering."""
        self._cancel_timer()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.write(response)
            self.transport.close()
        else:
            self.transport.abort()


def server_config(app: str | Callable[..., Any], *, factory: bool = True, **options: Any) -> uvicorn.Config:
    """Return how uvicorn serves the API: `app` is a factory, or its `module:name`."""
    guarded: dict[str, Any] = {"http": GuardedProtocol, "limit_concurrency": MAX_CONNECTIONS, "server_header": False}
    return uvicorn.Config(app, factory=factory, **guarded | options)
