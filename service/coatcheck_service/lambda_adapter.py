"""Makes the handler of a Lambda function behind any of its front doors, for the routes that it serves."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mangum import Mangum
from mangum.handlers import ALB
from mangum.types import ASGI, LambdaConfig, LambdaContext, LambdaEvent
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck.authoring.loading import load_job_types
from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck.core.tracer import NO_TRACER
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import pump_for_lambda
from coatcheck_service.aws import connect
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import FRONT_DOOR, LAMBDA, front_door_of
from coatcheck_service.gc_freeze import freeze_heap
from coatcheck_service.http.direct_routes import DirectRoute, is_direct
from coatcheck_service.http.middleware_stack import middleware_of
from coatcheck_service.lambda_scope import members_of_scope

if TYPE_CHECKING:
    from fastapi import APIRouter

NO_TEXT_MIME_TYPES = ["\n"]
"""Mangum sends media types that contain one of these as text, which JSON may make up to six times as long. No media
type contains this one, so everything is sent in base64, and `FrontDoor` can compute how long it gets."""


_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")

NO_HOST = "unknown.invalid"
"""In place of a Host that is none."""


class LoadBalancer(ALB):
    """Mangum's handler, for the Host of any client: others than a load balancer take their own names alone."""

    def __init__(self, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> None:
        super().__init__({**event, **_with_plain_host(event)}, context, config)


def _with_plain_host(event: LambdaEvent) -> Mapping[str, Any]:
    """Return the headers of `event`, by the member that holds them, with a Host that can be read."""
    if "multiValueHeaders" in event:
        hosts: Sequence[str] = event["multiValueHeaders"].get("host", [])
        if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
            return {}
        return {"multiValueHeaders": {**event["multiValueHeaders"], "host": [NO_HOST]}}
    if _HOST.fullmatch(event["headers"].get("host", "")):
        return {}
    return {"headers": {**event["headers"], "host": NO_HOST}}


def with_front_door(app: ASGIApp, public_url: str) -> ASGI:
    """Give `app` the front door of each event, and what that door says of the request."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        event = scope["aws.event"]
        seen = {FRONT_DOOR: front_door_of(event), **members_of_scope(event, scope["path"], public_url)}
        await app({**scope, **seen}, receive, without_body(send) if scope["method"] == "HEAD" else send)

    return serve


def without_body(send: Send) -> Send:
    """Wrap `send` for HEAD: servers leave the body out, and in Lambda there is no server."""

    async def send_without_body(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_without_body


def make_handler(
    load_routers: Callable[[], Sequence[APIRouter]], direct: Sequence[DirectRoute] = ()
) -> Callable[[LambdaEvent, LambdaContext], dict[str, Any]]:
    """Make the handler of a function that serves these routes, with its own event loop and its AWS clients.

    Requests for routes of `direct` are served without FastAPI, which the first other request loads. Before a snapshot
    all is loaded.
    """
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    pump = pump_for_lambda(settings)
    transport = connect(os.environ)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    dependencies = Dependencies(settings, load_job_types(settings.job_modules), transport, LAMBDA)
    app = DirectFirst(dependencies, direct, load_routers)
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        # what is loaded now is in the snapshot; without one, the first request that needs it loads it
        loop.run_until_complete(transport.open())
        app.load()
    freeze_heap()
    serve = make_mangum(app, settings.public_url)

    def handle(event: LambdaEvent, context: LambdaContext) -> dict[str, Any]:
        with pump.flushing():
            return serve(event, context)

    return handle


class DirectFirst:
    """The API of a function: serves the routes of `direct`, and loads FastAPI when another is asked for.

    FastAPI takes a third of a start. Lambda gives a process one request at a time. With a tracer all requests are
    FastAPI's, since it makes their spans.
    """

    def __init__(
        self,
        dependencies: Dependencies,
        direct: Sequence[DirectRoute],
        load_routers: Callable[[], Sequence[APIRouter]],
    ) -> None:
        self._dependencies, self._direct, self._load_routers = dependencies, direct, load_routers
        self._tracer = installed_tracer()
        self._app: ASGIApp | None = None
        self._direct_app: ASGIApp = self._serve_all
        for middleware in reversed(middleware_of(dependencies, direct, self._tracer)):
            self._direct_app = middleware.cls(self._direct_app, *middleware.args, **middleware.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        direct = self._tracer is NO_TRACER and is_direct(self._direct, scope)
        app = self._direct_app if direct else self._serve_all
        await app(scope, receive, send)

    def load(self) -> ASGIApp:
        """Load FastAPI with all routes, unless it is loaded."""
        if self._app is None:
            from coatcheck_service.app import app_of  # noqa: PLC0415 - loads FastAPI

            self._app = app_of(self._load_routers(), self._dependencies, direct=self._direct, tracer=self._tracer)
        return self._app

    async def _serve_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.load()(scope, receive, send)


def make_mangum(app: ASGIApp, public_url: str) -> Mangum:
    """Make what gives `app` the requests in events, and answers as the door of each wants it."""
    return Mangum(
        with_front_door(app, public_url),
        lifespan="off",
        custom_handlers=[LoadBalancer],
        text_mime_types=NO_TEXT_MIME_TYPES,
    )
