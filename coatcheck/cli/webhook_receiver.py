"""A receiver of webhooks on this machine: receives, verifies, forwards and reports each."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from coatcheck.cli.display import print_message
from coatcheck.client.exceptions import InvalidArgumentError, redact_url
from coatcheck.client.text import strict_json
from coatcheck.core.signature import ID, BadSignature, verify

HOST = "127.0.0.1"
MAX_BODY_SIZE = 64 * 1024
"""Bytes; the service keeps its own under 20 KB."""

RESPONSE_TIMEOUT = 15.0
"""As long as the service waits for an answer."""

_HOP_BY_HOP_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "upgrade"}
)
"""Headers that are about one connection (RFC 9110, 7.6.1) or that the next request makes anew."""

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """A webhook that arrived `at` (seconds since the epoch), and the status it was answered with.

    `verified` is None where no secret is known to check with; `reason` says why it is False, or could not be forwarded.
    """

    at: float
    headers: Headers
    webhook_id: str | None
    event: dict[str, Any]
    verified: bool | None
    reason: str | None
    response_status: int


class WebhookReceiver:
    """Listens on loopback while its `with` block lasts, at `url`.

    What `secrets` (none: nothing is checked) do not verify is answered 400. The rest is answered `status`, or, where
    `forward_to` is given, what that URL answers to the same headers and bytes: 502 if it does not.

    Raises InvalidArgumentError for a port that is taken or a URL that can never work.
    """

    def __init__(self, port: int, secrets: Sequence[str], forward_to: str | None, status: int) -> None:
        if forward_to is not None and not _is_http_url(forward_to):
            raise InvalidArgumentError(
                f"{forward_to!r} is not a URL to forward to: give one like http://127.0.0.1:3000/hook"
            )
        self._secrets = secrets
        self._forward_to = forward_to
        self._status = status
        self._queue = SimpleQueue[ReceivedWebhook]()
        self._http = httpx.Client(timeout=RESPONSE_TIMEOUT, trust_env=False)
        try:
            self._server = _Server((HOST, port), self)
        except (OSError, OverflowError) as error:
            self._http.close()
            raise InvalidArgumentError(
                f"cannot listen on port {port}: {error}; give another --port, or 0 for a free one"
            ) from error
        self.url: str = f"http://{HOST}:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def received(self) -> Iterator[ReceivedWebhook]:
        """Each webhook, as they come; never ends."""
        while True:
            yield self._queue.get()

    def handle(self, headers: Headers, body: bytes, event: dict[str, Any]) -> ReceivedWebhook:
        """The answer to a webhook, and what to report of it."""
        verified, reason = self._verify(dict(headers), body)
        response_status = 400 if verified is False else self._status
        if verified is not False and self._forward_to:
            response_status, reason = self._forward(self._forward_to, headers, body)
        webhook_id = next((value for name, value in headers if name.lower() == ID), None)
        return ReceivedWebhook(time.time(), headers, webhook_id, event, verified, reason, response_status)

    def publish(self, webhook: ReceivedWebhook) -> None:
        """Let it come out of `received`."""
        self._queue.put(webhook)

    def _verify(self, headers: dict[str, str], body: bytes) -> tuple[bool | None, str | None]:
        if not self._secrets:
            return None, None
        try:
            verify(self._secrets, headers, body)
        except BadSignature as problem:
            return False, str(problem)
        return True, None

    def _forward(self, url: str, headers: Headers, body: bytes) -> tuple[int, str | None]:
        # as bytes: what came in as latin-1 goes out as the same bytes
        forwarded = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
            if name.lower() not in _HOP_BY_HOP_HEADERS
        ]
        try:
            response = self._http.send(httpx.Request("POST", url, headers=forwarded, content=body), stream=True)
        except httpx.HTTPError as error:
            return 502, f"not forwarded to {redact_url(url)}: {str(error) or type(error).__name__}"
        response.close()
        return response.status_code, None


class _Server(ThreadingMixIn, TCPServer):
    """As http.server's own, which besides asks the DNS for this machine's name when it starts."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], receiver: WebhookReceiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log one line for a broken connection; usually the sender has gone away."""
        del request, client_address
        print_message(f"a request was broken off: {sys.exception()}")


class _BadRequest(Exception):
    """What came is no webhook; the text says why."""


class _Handler(BaseHTTPRequestHandler):
    # it speaks HTTP/1.0: one request for each connection, whose end is the end of the answer
    server: _Server
    timeout = RESPONSE_TIMEOUT
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"

    def do_POST(self) -> None:
        try:
            body = self._body()
            event = _event(body)
        except _BadRequest as refused:
            print_message(f"refused: {refused}")
            self._respond(400, str(refused))
            return
        webhook = self.server.receiver.handle(self.headers.items(), body, event)
        # publish first, so that a webhook is reported even if its sender does not wait for the answer
        self.server.receiver.publish(webhook)
        self._respond(webhook.response_status, webhook.reason)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length) or "Transfer-Encoding" in self.headers:
            raise _BadRequest("a webhook needs a Content-Length, and must not be chunked")
        # what is too large is read too, up to a point: bytes left unread would reset the connection under the answer
        body = self.rfile.read(min(int(length), 16 * MAX_BODY_SIZE))
        if int(length) > MAX_BODY_SIZE:
            raise _BadRequest(f"a webhook may have {MAX_BODY_SIZE} bytes at most, not {length}")
        if len(body) < int(length):
            raise _BadRequest(f"the body ended after {len(body)} of {length} bytes")
        return body

    def _respond(self, status: int, reason: str | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        if reason:
            self.wfile.write(f"{reason}\n".encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: `received` reports what arrives."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name for it
        """What was no HTTP, or another method."""
        print_message(f"refused: {format % args}")


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = strict_json(body)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise _BadRequest("the body of a webhook must be a JSON object")
    return event


def _is_http_url(url: str) -> bool:
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except (httpx.InvalidURL, ValueError):
        return False
