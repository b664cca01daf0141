"""The API as a Lambda function behind API Gateway.

Everything is made when the module is imported: SnapStart takes its snapshot after that, and what is in it costs
the first request nothing.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit

from mangum import Mangum
from mangum.types import ASGI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck.deployment import Deployment
from coatcheck.log import configure
from jobs.catalog import CATALOG
from service.app import create_app
from service.aws import AioBoto
from service.front_door import LAMBDA
from service.garbage import keep_what_is_there

NO_TEXT = ["\n"]
"""Mangum sends media types that contain one of these as text, which JSON may make up to six times as long. No media
type contains this one, so everything goes out in base64, and `FrontDoor` can know how long it gets."""


def in_stage(app: ASGIApp, public_url: str) -> ASGI:
    """`app` at the `root_path` that clients see: of `public_url`, or else the stage or base path in API Gateway."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        event: dict[str, Any] = scope["aws.event"]
        # the resource says how much of the path is ours: as many segments as it has
        resource, whole = event["resource"].strip("/"), event["requestContext"]["path"]
        ours = resource.count("/") + 1 if resource else 0
        above = whole.split("/")[:-ours] if ours else whole.rstrip("/").split("/")
        root = urlsplit(public_url).path if public_url else "/".join(above)
        path = root + "/" + "/".join(scope["path"].split("/")[-ours:] if ours else ())
        out = without_body(send) if scope["method"] == "HEAD" else send
        await app({**scope, "root_path": root, "path": path}, receive, out)

    return serve


def without_body(send: Send) -> Send:
    """`send` for HEAD: a server leaves the body out, and no server stands behind API Gateway."""

    async def sent(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sent


def make_handler() -> Mangum:
    """The function's handler, on one event loop of its own, with its clients made."""
    deployment = Deployment.from_env(os.environ)
    configure(deployment.log)
    aws = AioBoto.from_env(os.environ)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(aws.open())
    app = create_app(deployment, CATALOG, aws, LAMBDA)
    keep_what_is_there()
    return Mangum(in_stage(app, deployment.public_url), lifespan="off", text_mime_types=NO_TEXT)


handler = make_handler()
