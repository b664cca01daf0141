"""Refuses requests that have gone around CloudFront: those without the secret that it adds to each (docs/adr/0167)."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.secrets_manager import get_secret
from coatcheck.core.errors import Forbidden
from coatcheck_service.http.problems import problem_of

HEADER = "x-coatcheck-origin"

OPEN_PATH = "/v1/health"
"""It says nothing of the inside, and what starts the service asks for it without going by CloudFront."""


class OriginSecretMiddleware:
    """Lets requests with the secret of `name` pass, and answers all others. The secret is read once and kept."""

    def __init__(self, app: ASGIApp, transport: AsyncTransport, name: str) -> None:
        self._app = app
        self._transport = transport
        self._name = name
        self._secret: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        refusal = await self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        if request.scope["path"].removeprefix(request.scope.get("root_path", "")) == OPEN_PATH:
            return None
        try:
            if self._secret is None:
                self._secret = await self._transport.send(get_secret(self._name))
        except AwsError as error:
            return problem_of(request, error)
        brought = request.headers.getlist(HEADER)
        if len(brought) == 1 and hmac.compare_digest(brought[0].encode(), self._secret):
            return None
        return problem_of(request, Forbidden("Requests come by the public address of this service alone."))
