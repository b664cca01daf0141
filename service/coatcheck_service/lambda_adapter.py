"""Makes the handler of a Lambda function behind any of its front doors, for the routes that it serves."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from mangum import Mangum
from mangum.handlers import ALB
from mangum.types import ASGI, LambdaConfig, LambdaContext, LambdaEvent
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck.authoring.loading import load_job_types
from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck.core.tracing import installed_tracer
from coatcheck.telemetry.pump import pump_for_lambda
from coatcheck_service.app import build_app
from coatcheck_service.aws import connect
from coatcheck_service.front_door import FRONT_DOOR, LAMBDA, front_door_of
from coatcheck_service.gc_freeze import freeze_heap
from coatcheck_service.lambda_scope import members_of_scope

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


def make_handler(routers: Sequence[APIRouter]) -> Callable[[LambdaEvent, LambdaContext], dict[str, Any]]:
    """Make the handler of a function that serves `routers`, with its own event loop and its AWS clients."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    pump = pump_for_lambda(settings)
    transport = connect(os.environ)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        # what is loaded now is in the snapshot; without one, the first request that needs an SDK loads it
        loop.run_until_complete(transport.open())
    catalog = load_job_types(settings.job_modules)
    app = build_app(routers, settings, catalog, transport, LAMBDA, tracer=installed_tracer())
    freeze_heap()
    serve = make_mangum(app, settings.public_url)

    def handle(event: LambdaEvent, context: LambdaContext) -> dict[str, Any]:
        with pump.flushing():
            return serve(event, context)

    return handle


def make_mangum(app: ASGIApp, public_url: str) -> Mangum:
    """Make what gives `app` the requests in events, and answers as the door of each wants it."""
    return Mangum(
        with_front_door(app, public_url),
        lifespan="off",
        custom_handlers=[LoadBalancer],
        text_mime_types=NO_TEXT_MIME_TYPES,
    )
