"""Somebody's server, which receives webhooks on a free port of the loopback interface."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from coatcheck.core.signature import verify
from tests.waiting import eventually

ARRIVAL_TIMEOUT = 60.0


@dataclass(frozen=True)
class ReceivedWebhook:
    """A POST that was received."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The event in it. Raises BadSignature where `secret` did not sign it just now."""
        event: dict[str, Any] = verify(secret, self.headers, self.body)
        return event


@dataclass
class WebhookReceiver:
    """Keeps what arrives. `answers` are the statuses given at a path, in order; 204 when they are used up."""

    url: str
    answers: dict[str, list[int]] = field(default_factory=dict)
    _received: list[ReceivedWebhook] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, webhook: ReceivedWebhook) -> int:
        """Keep it; the answer is the status to give."""
        with self._lock:
            self._received.append(webhook)
            left = self.answers.get(webhook.path)
            return left.pop(0) if left else 204

    def at(self, path: str) -> list[ReceivedWebhook]:
        """What has arrived at a path, in order."""
        with self._lock:
            return [one for one in self._received if one.path == path]

    def wait_for(self, path: str, count: int) -> list[ReceivedWebhook]:
        """What has arrived at a path once it is so many."""
        eventually(lambda: len(self.at(path)) >= count, ARRIVAL_TIMEOUT, lambda: self.at(path))
        return self.at(path)


@contextmanager
def run_receiver() -> Iterator[WebhookReceiver]:
    """A server that keeps what is sent to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.take(ReceivedWebhook(self.path, headers, body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: what arrives is kept."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = WebhookReceiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
