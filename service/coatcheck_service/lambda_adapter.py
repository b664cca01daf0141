"""Makes the handler of a Lambda function behind API Gateway or a function URL, for the routes that it serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from mangum import Mangum
from mangum.types import ASGI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck.authoring.loading import load_job_types
from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck_service.app import build_app
from coatcheck_service.aws import connect
from coatcheck_service.front_door import LAMBDA
from coatcheck_service.gc_freeze import freeze_heap

NO_TEXT_MIME_TYPES = ["\n"]
"""Mangum sends media types that contain one of these as text, which JSON may make up to six times as long. No media
type contains this one, so everything is sent in base64, and `FrontDoor` can compute how long it gets."""


def with_root_path(app: ASGIApp, public_url: str) -> ASGI:
    """Give `app` the `root_path` that clients see: that of `public_url`, else API Gateway's stage or base path.

    The scheme is https: neither front door has another, and `X-Forwarded-Proto` may be a client's word.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        prefix, own_path = split_path(scope["aws.event"], scope["path"])
        root = urlsplit(public_url).path if public_url else prefix
        client_send = without_body(send) if scope["method"] == "HEAD" else send
        await app({**scope, "scheme": "https", "root_path": root, "path": root + own_path}, receive, client_send)

    return serve


def split_path(event: Mapping[str, Any], path: str) -> tuple[str, str]:
    """Return what comes before our own part of a path, and that part. A function URL has nothing before it."""
    if "resource" not in event:
        return "", path
    # the resource has as many segments as the part of the path that is ours
    resource, full_path = event["resource"].strip("/"), event["requestContext"]["path"]
    segments = resource.count("/") + 1 if resource else 0
    prefix = full_path.split("/")[:-segments] if segments else full_path.rstrip("/").split("/")
    return "/".join(prefix), "/" + "/".join(path.split("/")[-segments:] if segments else ())


def without_body(send: Send) -> Send:
    """Wrap `send` for HEAD: servers leave the body out, and behind API Gateway there is no server."""

    async def send_without_body(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_without_body


def make_handler(routers: Sequence[APIRouter]) -> Mangum:
    """Make the handler of a function that serves `routers`, with its own event loop and its AWS clients."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    transport = connect(os.environ)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        # what is loaded now is in the snapshot; without one, the first request that needs an SDK loads it
        loop.run_until_complete(transport.open())
    app = build_app(routers, settings, load_job_types(settings.job_modules), transport, LAMBDA)
    freeze_heap()
    return Mangum(with_root_path(app, settings.public_url), lifespan="off", text_mime_types=NO_TEXT_MIME_TYPES)
