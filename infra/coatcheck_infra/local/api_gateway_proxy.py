"""The proxy of `up --whole`: forwards each request to the template's API Gateway in the emulator.

It takes the place of API Gateway's custom domain name on AWS. It also adds what the emulator lacks of API Gateway: its
two limits, its request validator, the template's gateway responses, and its changes to headers.
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

from coatcheck_infra.local.emulator_access import PROXY_HEADER, proxy_token
from coatcheck_infra.local.gateway_responses import gateway_response, remap_headers, unknown_route_kind
from coatcheck_infra.local.request_validator import RequestValidator

API_GATEWAY = "COATCHECK_API_GATEWAY"
GATEWAY_RESPONSES = "COATCHECK_GATEWAY_RESPONSES"
METHODS_WITH_CREDENTIALS = "COATCHECK_METHODS_WITH_CREDENTIALS"

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
TIMEOUT_SECONDS = 29.0
MAX_BODY_BYTES = 10 * 1024 * 1024

# RFC 9110, section 7.6.1: they apply to one connection and are not forwarded; each server sends its own Date
HOP_BY_HOP_HEADERS = {
    b"connection",
    b"date",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
}

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def app() -> Starlette:
    """Build the proxy to the API whose URL is in COATCHECK_API_GATEWAY."""
    proxy = ApiGatewayProxy(
        os.environ[API_GATEWAY],
        json.loads(os.environ[GATEWAY_RESPONSES]),
        RequestValidator(json.loads(os.environ[METHODS_WITH_CREDENTIALS])),
        proxy_token(os.environ["AWS_SECRET_ACCESS_KEY"]),
    )
    return Starlette(routes=[Route("/{path:path}", proxy.forward, methods=METHODS)])


class ApiGatewayProxy:
    """Forwards requests to the URL `api`.

    `custom_responses` holds the template's GatewayResponses; `token` authorizes the proxy at the emulator.
    """

    def __init__(
        self, api: str, custom_responses: Mapping[str, object], validator: RequestValidator, token: str = ""
    ) -> None:
        self._api = api
        self._validator = validator
        self._token = (PROXY_HEADER.encode(), token.encode())
        self._custom_responses = custom_responses
        no_limit = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(
            trust_env=False, timeout=httpx.Timeout(TIMEOUT_SECONDS, pool=None), limits=no_limit
        )

    async def forward(self, request: Request) -> Response:
        refusal = self._validator.refusal(
            request.method, request.scope["raw_path"].decode(), request.headers.get("authorization")
        )
        if refusal:
            return self._gateway_response(refusal)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return self._gateway_response("REQUEST_TOO_LARGE")
        query = f"?{request.url.query}" if request.url.query else ""
        target = f"{self._api}{request.scope['raw_path'].decode()}{query}"
        headers = [one for one in end_to_end_headers(request.headers.raw) if one[0] != self._token[0]]
        headers += [self._token] if self._token[1] else []
        upstream_request = self._http.build_request(request.method, target, headers=headers, content=bytes(body))
        try:
            response = await self._http.send(upstream_request, stream=True)
        except httpx.TimeoutException:
            return self._gateway_response("INTEGRATION_TIMEOUT")
        kind = gateway_response_kind(response, request.headers.get("authorization"))
        if kind:
            await response.aclose()
            return self._gateway_response(kind, response.headers.get("x-amzn-requestid"))
        streamed = StreamingResponse(
            response.aiter_raw(), response.status_code, background=BackgroundTask(response.aclose)
        )
        streamed.raw_headers = remap_headers(end_to_end_headers(response.headers.raw))
        return streamed

    def _gateway_response(self, kind: str, request_id: str | None = None) -> Response:
        return gateway_response(kind, self._custom_responses, request_id or str(uuid.uuid4()))


def gateway_response_kind(response: httpx.Response, authorization: str | None) -> str | None:
    """Return the kind of a response that the gateway itself made; None for a response of the service.

    `authorization` is the request's header. A 502 comes from the gateway: the service never sends one.
    """
    match response.headers.get("x-amzn-errortype"):
        case "MissingAuthenticationTokenException":
            return unknown_route_kind(authorization)
        case "InvalidSignatureException":
            return "INVALID_SIGNATURE"
        case "UnauthorizedException":
            return "UNAUTHORIZED"
        case "AccessDeniedException":
            return "ACCESS_DENIED"
        case str():
            return "DEFAULT_4XX" if response.is_client_error else "DEFAULT_5XX"
    return "DEFAULT_5XX" if response.status_code == httpx.codes.BAD_GATEWAY else None


def end_to_end_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the end-to-end headers, without those of this connection."""
    return [(name.lower(), value) for name, value in headers if name.lower() not in HOP_BY_HOP_HEADERS]
