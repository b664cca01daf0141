"""The proxy of `up --whole` at a function URL or a load balancer: makes their events, and invokes the functions.

It takes the place of the URL, or of the load balancer under a name of the owner's. It has their limits, and their own
answers, which are no problems.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from coatcheck_infra.local.api_gateway_proxy import HOP_BY_HOP_HEADERS, METHODS
from coatcheck_infra.local.door_events import ClientRequest, alb_event, event_size, function_url_event, response_of
from coatcheck_infra.local.environment import Credentials
from coatcheck_infra.local.resources import session
from coatcheck_service.front_door import ALB, MIB

DOOR = "COATCHECK_LOCAL_DOOR"
"""Set for the process of the proxy: JSON, the `name` of the door and its `api` and `admin` targets."""

ADMIN_PREFIX = "/v1/admin/"

API_ALIAS = "ApiFunctionAliaslive"
"""The name that SAM gives the alias of the API's function."""

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_EVENT = MAX_ANSWER = 6 * MIB
MAX_CONCURRENT_INVOCATIONS = 100


@dataclass(frozen=True)
class Target:
    """A function, and what of the door leads to it: the host of a function URL, or a target group's ARN."""

    function: str
    at: str


Invoke = Callable[[str, dict[str, Any]], dict[str, Any] | None]
"""Invokes a function with an event. Returns its answer, or None if it failed."""


class LambdaDoorProxy:
    """Sends requests to `api`, and those of operators to `admin`."""

    def __init__(self, name: str, api: Target, admin: Target, invoke: Invoke) -> None:
        self._is_alb = name == ALB.name
        self._api = api
        self._admin = admin
        self._invoke = invoke

    async def forward(self, request: Request) -> Response:
        """Serve one request."""
        sent = await self._read(request)
        if sent is None:
            return self._own_answer(413)
        target = self._admin if sent.path.startswith(ADMIN_PREFIX) else self._api
        event = alb_event(sent, target.at) if self._is_alb else function_url_event(sent, target.at)
        if event_size(event) > MAX_EVENT:
            return self._own_answer(413)
        answer = await run_in_threadpool(self._invoke, target.function, event)
        if answer is None or event_size(answer) > (MIB if self._is_alb else MAX_ANSWER):
            return self._own_answer(502)
        return response_of(answer)

    async def _read(self, request: Request) -> ClientRequest | None:
        """Return the request; None if its body is larger than the door takes."""
        limit = MIB if self._is_alb else MAX_EVENT
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                return None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in request.headers.raw
            if name not in HOP_BY_HOP_HEADERS
        ]
        path, query = request.scope["raw_path"].decode(), request.scope["query_string"].decode()
        address = request.client.host if request.client else ""
        return ClientRequest(request.method, path, query, headers, bytes(body), address)

    def _own_answer(self, status: int) -> Response:
        if self._is_alb:
            title = {413: "413 Request Entity Too Large", 502: "502 Bad Gateway"}[status]
            return HTMLResponse(f"<html><head><title>{title}</title></head><body>{title}</body></html>", status)
        return JSONResponse(
            {"Message": {413: "Request Entity Too Large", 502: "Internal Server Error"}[status]}, status
        )


def app() -> Starlette:
    """Build the proxy of the door that COATCHECK_LOCAL_DOOR describes."""
    described: Mapping[str, Any] = json.loads(os.environ[DOOR])
    credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    invoke = invoker(os.environ["AWS_ENDPOINT_URL"], credentials)
    proxy = LambdaDoorProxy(described["name"], Target(**described["api"]), Target(**described["admin"]), invoke)
    return proxy_app(proxy)


def proxy_app(proxy: LambdaDoorProxy) -> Starlette:
    """Build the app that sends everything to `proxy`."""
    return Starlette(routes=[Route("/{path:path}", proxy.forward, methods=METHODS)])


def invoker(aws_endpoint_url: str, credentials: Credentials) -> Invoke:
    """Return what invokes functions of the emulator."""
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=MAX_CONCURRENT_INVOCATIONS, read_timeout=60)
    functions: Any = session(credentials).client("lambda", endpoint_url=aws_endpoint_url, config=config)

    def invoke(function: str, event: dict[str, Any]) -> dict[str, Any] | None:
        try:
            invoked = functions.invoke(FunctionName=function, Payload=json.dumps(event).encode())
            answer = json.loads(invoked["Payload"].read())
        except (BotoCoreError, ClientError, ValueError):
            return None
        whole = "FunctionError" not in invoked and isinstance(answer, dict) and "statusCode" in answer
        return answer if whole else None

    return invoke


def targets(aws: Callable[[str], Any], stack: str, door: str) -> dict[str, Target]:
    """Return the targets `api` and `admin` that the deployed stack has at the door. `aws` makes clients by service."""
    cloudformation = aws("cloudformation")

    def physical_id(name: str) -> str:
        found = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=name)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    if door == ALB.name:
        # the emulator makes the target groups, and registers nothing there
        return {
            "api": Target(physical_id(API_ALIAS), physical_id("ApiTargets")),
            "admin": Target(physical_id("AdminFunction"), physical_id("AdminTargets")),
        }
    functions = aws("lambda")

    def of_url(function: str) -> Target:
        (url,) = functions.list_function_url_configs(FunctionName=physical_id(function))["FunctionUrlConfigs"]
        return Target(url["FunctionArn"], url["FunctionUrl"].split("/")[2])

    return {"api": of_url("ApiFunction"), "admin": of_url("AdminFunction")}
