"""What a function URL and a load balancer make of a request before they invoke a function, and of its response.

The emulator makes other events than AWS does: it decodes queries, and repeats no header.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

Json = dict[str, Any]
Headers = Sequence[tuple[str, str]]

TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
"""The content types whose bodies are text in an event. Others are in base64."""


@dataclass(frozen=True)
class ClientRequest:
    """A request as a client sent it to the door: path and query are not decoded, names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    address: str

    def header(self, name: str) -> str:
        """The values of a header, joined; empty if it was not sent."""
        return ",".join(value for sent, value in self.headers if sent == name)

    def values(self) -> dict[str, list[str]]:
        """The values of each header."""
        return _grouped(self.headers)


def function_url_event(request: ClientRequest, host: str) -> Json:
    """Return the event of a function URL at `host`, in payload format 2.0.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
    """
    joined = {name: ",".join(values) for name, values in request.values().items() if name != "cookie"}
    headers = joined | {
        "host": host,
        "x-forwarded-for": request.address,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    http = {
        "method": request.method,
        "path": request.path,
        "protocol": "HTTP/1.1",
        "sourceIp": request.address,
        "userAgent": request.header("user-agent"),
    }
    apex = host.partition(".")[0]
    now = time.time()
    event: Json = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": apex,
            "domainName": host,
            "domainPrefix": apex,
            "http": http,
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies := request.header("cookie"):
        event["cookies"] = [one.strip() for one in cookies.split(";")]
    # what there is none of is left out
    return event | (_body(request) if request.body else {})


def alb_event(request: ClientRequest, target_group: str, *, multi_value: bool = True) -> Json:
    """Return the event of a load balancer; `target_group` is an ARN.

    Without `multi_value`, an attribute of the target group, the last value of a header or parameter is all there is.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """
    forwarded = ", ".join(filter(None, [request.header("x-forwarded-for"), request.address]))
    kept = [(name, value) for name, value in request.headers if not name.startswith("x-forwarded-")]
    headers = [
        *kept,
        ("x-forwarded-for", forwarded),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-amzn-trace-id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"),
    ]
    # not decoded
    query = [(name, value) for name, _, value in (pair.partition("=") for pair in request.query.split("&")) if name]
    parts: Json = (
        {"multiValueQueryStringParameters": _grouped(query), "multiValueHeaders": _grouped(headers)}
        if multi_value
        else {"queryStringParameters": dict(query), "headers": dict(headers)}
    )
    return {
        "requestContext": {"elb": {"targetGroupArn": target_group}},
        "httpMethod": request.method,
        "path": request.path,
        **parts,
        **_body(request),
    }


def response_of(answer: Mapping[str, Any]) -> Response:
    """Return the HTTP response that a door makes of a function's answer. Raises KeyError if it is none."""
    body = str(answer.get("body") or "")
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    response = Response(content, int(answer["statusCode"]))
    own_length = [(name, value) for name, value in response.raw_headers if name == b"content-length"]
    headers = [(name, value) for name, values in _answer_headers(answer) for value in values]
    if any(name.lower() == "content-length" for name, _ in headers):
        own_length = []
    response.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers] + own_length
    return response


def _answer_headers(answer: Mapping[str, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    yield from (answer.get("multiValueHeaders") or {}).items()
    yield from ((name, [str(value)]) for name, value in (answer.get("headers") or {}).items())
    yield "set-cookie", answer.get("cookies") or []


def _body(request: ClientRequest) -> Json:
    content_type = request.header("content-type").lower()
    if not request.body or (content_type.startswith(TEXT_TYPES) and not request.header("content-encoding")):
        return {"body": request.body.decode(errors="replace"), "isBase64Encoded": False}
    return {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def event_size(event: Json) -> int:
    """Bytes of the event as Lambda gets it."""
    return len(json.dumps(event).encode())
