"""Give handlers the credentials of their own role, by the endpoint that AWS SDKs ask in containers."""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sts import TemporaryCredentials, assume_role
from coatcheck.core.clock import MINUTE, rfc3339

log = logging.getLogger(__name__)

RENEWED_BEFORE = 15 * MINUTE
"""How long before their end credentials are replaced: SDKs ask for others about as early."""

SESSION = "coatcheck-handlers"
_LOOPBACK = "127.0.0.1"


class HandlerCredentials:
    """Serves the credentials of `role` on the loopback interface, to who knows the token in `environment`.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """

    def __init__(self, transport: Transport, role: str, clock: Callable[[], int]) -> None:
        self._transport, self._role, self._clock = transport, role, clock
        self._lock = threading.Lock()
        self._kept: TemporaryCredentials | None = None
        self._token = secrets.token_urlsafe(32)
        self._server = ThreadingHTTPServer((_LOOPBACK, 0), self._request_handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="handler-credentials", daemon=True).start()

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which SDKs find the endpoint."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{_LOOPBACK}:{self._server.server_port}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token,
        }

    def credentials(self) -> TemporaryCredentials:
        """Return credentials that last a while. Raises AwsError."""
        with self._lock:
            if self._kept is None or self._clock() >= self._kept.expires_at - RENEWED_BEFORE:
                self._kept = self._transport.send(assume_role(self._role, SESSION))
            return self._kept

    def answer(self, authorization: str) -> tuple[int, Mapping[str, Any]]:
        """Return the status and the JSON that answer a request with this header."""
        if not hmac.compare_digest(authorization.encode(), self._token.encode()):
            return 401, {"code": "Unauthorized", "message": "the token is not that of this worker"}
        try:
            found = self.credentials()
        except AwsError as error:
            log.warning("handlers get no credentials: %s", error)
            return 503, {"code": error.code, "message": str(error)}
        return 200, {
            "AccessKeyId": found.access_key_id,
            "SecretAccessKey": found.secret_access_key,
            "Token": found.session_token,
            "Expiration": rfc3339(found.expires_at),
        }

    def _request_handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class RequestHandler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                status, body = outer.answer(self.headers.get("Authorization", ""))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Write no line for each request."""

        return RequestHandler
