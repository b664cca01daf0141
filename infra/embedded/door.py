"""The front door of `up --whole`: hands each request to the template's API Gateway in the emulator.

It stands for the custom domain name that API Gateway has on AWS, and does what the emulator leaves out of API
Gateway: its two limits, the template's words for what it answers by itself, and what it does to headers.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from infra.embedded.gateway import gateway_answer, no_route, remapped

API_GATEWAY = "COATCHECK_API_GATEWAY"
GATEWAY_RESPONSES = "COATCHECK_GATEWAY_RESPONSES"

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
LONGEST = 29.0
LARGEST_BODY = 10 * 1024 * 1024

# RFC 9110, section 7.6.1: they belong to one connection and stay on it; each server dates its own answer
OF_ONE_HOP = {b"connection", b"date", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def app() -> Starlette:
    """The door to the API whose URL is in COATCHECK_API_GATEWAY."""
    door = Door(os.environ[API_GATEWAY], json.loads(os.environ[GATEWAY_RESPONSES]))
    return Starlette(routes=[Route("/{path:path}", door.pass_on, methods=METHODS)])


class Door:
    """`api` is the URL to lead to; `worded` the template's GatewayResponses."""

    def __init__(self, api: str, worded: Mapping[str, object]) -> None:
        self._api = api
        self._worded = worded
        no_limit = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(LONGEST, pool=None), limits=no_limit)

    async def pass_on(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return self._answer("REQUEST_TOO_LARGE")
        query = f"?{request.url.query}" if request.url.query else ""
        target = f"{self._api}{request.scope['raw_path'].decode()}{query}"
        headers = end_to_end(request.headers.raw)
        asked = self._http.build_request(request.method, target, headers=headers, content=bytes(body))
        try:
            answer = await self._http.send(asked, stream=True)
        except httpx.TimeoutException:
            return self._answer("INTEGRATION_TIMEOUT")
        kind = own_answer(answer, request.headers.get("authorization"))
        if kind:
            await answer.aclose()
            return self._answer(kind, answer.headers.get("x-amzn-requestid"))
        passed = StreamingResponse(answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose))
        passed.raw_headers = remapped(end_to_end(answer.headers.raw))
        return passed

    def _answer(self, kind: str, request_id: str | None = None) -> Response:
        return gateway_answer(kind, self._worded, request_id or str(uuid.uuid4()))


def own_answer(answer: httpx.Response, authorization: str | None) -> str | None:
    """What kind of answer this is where the gateway itself gave it; None where the service did.

    `authorization` is the request's header. 502 is the gateway's: the service has no use for it.
    """
    match answer.headers.get("x-amzn-errortype"):
        case "MissingAuthenticationTokenException":
            return no_route(authorization)
        case "InvalidSignatureException":
            return "INVALID_SIGNATURE"
        case str() if answer.is_client_error:
            return "DEFAULT_4XX"
    return "DEFAULT_5XX" if answer.status_code == httpx.codes.BAD_GATEWAY else None


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers that are for the other end, not for this connection."""
    return [(name.lower(), value) for name, value in headers if name.lower() not in OF_ONE_HOP]
