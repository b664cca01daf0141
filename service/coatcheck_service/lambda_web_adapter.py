"""The API on Lambda under uvicorn, behind the Lambda Web Adapter, by which its answers stream.

The adapter is a process of the function beside this one. It makes a request of each event, and sends what is answered
as it comes (https://github.com/aws/aws-lambda-web-adapter). What API Gateway or the function URL says of a request is
in the header `x-amzn-request-context`, which the adapter replaces if a client sends it, since version 1.0. Nobody is
let in by it all the same: of the header only the id, the client's address and the paths are taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coatcheck.telemetry.pump import MetricsPump
from coatcheck_service.lambda_scope import members_of_scope

CONTEXT = b"x-amzn-request-context"
LAMBDA_CONTEXT = b"x-amzn-lambda-context"

_ID = re.compile(r"[A-Za-z0-9=_-]{1,64}")
_PATH = re.compile(r"/[!-~]*")


def behind_web_adapter(app: ASGIApp, public_url: str, pump: MetricsPump) -> ASGIApp:
    """Give `app` what the adapter says of each request, and end an answer only when all is done for it.

    When an answer has ended, Lambda freezes the process: until the next request, or for ever. So log lines and metrics
    are written before.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        end: Message | None = None

        async def send_but_the_end(message: Message) -> None:
            nonlocal end
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                end = message
            else:
                await send(message)

        with pump.flushing():
            await app(as_the_door_saw_it(scope, public_url), receive, send_but_the_end)
        if end is not None:
            await send(end)

    return serve


def as_the_door_saw_it(scope: Scope, public_url: str) -> Scope:
    """Return the scope of a request of the adapter as the front door saw the request, without the adapter's headers."""
    told = [value for name, value in scope["headers"] if name == CONTEXT]
    headers = [header for header in scope["headers"] if header[0] not in {CONTEXT, LAMBDA_CONTEXT}]
    event = read_context(told[0]) if len(told) == 1 else {}
    return {**scope, "headers": headers, **members_of_scope(event, scope["path"], public_url)}


def read_context(header: bytes) -> Mapping[str, Any]:
    """Return the adapter's header as what is used of an event: an id, an address, and the paths of a REST API.

    What has another form than API Gateway and Lambda give it is left out.
    """
    try:
        said: Any = json.loads(header)
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    context: dict[str, Any] = {}
    if _matches(_ID, said.get("requestId")):
        context["requestId"] = said["requestId"]
    for place in ("identity", "http"):
        known = said.get(place)
        if isinstance(known, dict) and isinstance(known.get("sourceIp"), str):
            context[place] = {"sourceIp": known["sourceIp"]}
    if _matches(_PATH, said.get("path")) and _matches(_PATH, said.get("resourcePath")):
        return {"requestContext": {**context, "path": said["path"]}, "resource": said["resourcePath"]}
    return {"requestContext": context}


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
