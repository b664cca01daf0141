"""The HTTP requests that the Lambda Web Adapter makes of the events of a front door.

As its source has it (https://github.com/aws/aws-lambda-web-adapter/blob/main/src/lib.rs, `fetch_response`): the path
and the headers of the event, and the two headers of its own, which take the place of what a client has sent under these
names.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from coatcheck_service.lambda_web_adapter import CONTEXT, LAMBDA_CONTEXT


def adapter_request(event: dict[str, Any], server: str) -> httpx.Request:
    """Return the request that the web server at the URL `server` gets for `event`."""
    if event.get("version") == "2.0":
        method, path, query = event["requestContext"]["http"]["method"], event["rawPath"], event["rawQueryString"]
        headers = list(event["headers"].items())
    else:
        method, path = event["httpMethod"], event["path"]
        query = str(httpx.QueryParams(event["multiValueQueryStringParameters"] or {}))
        headers = [(name, value) for name, values in event["multiValueHeaders"].items() for value in values]
    own = {CONTEXT.decode(): json.dumps(event["requestContext"]), LAMBDA_CONTEXT.decode(): '{"deadline_ms": 1}'}
    kept = [(name, value) for name, value in headers if name.lower() not in own]
    url = f"{server}{path}?{query}" if query else f"{server}{path}"
    return httpx.Request(
        method, url, headers=[*kept, *own.items()], content=event["body"] if event.get("body") else b""
    )
