"""Events of each front door: those that were recorded, and others that are made like them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from coatcheck_infra.local.door_events import ClientRequest, alb_event, function_url_event
from tests.repository import ROOT

Json = dict[str, Any]

RECORDED: dict[str, Json] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests" / "data" / "front_doors").glob("*.json"))
}
"""By the name of the file: see the README beside them."""

ADDRESS = "203.0.113.7"
HOSTS = {
    "rest": RECORDED["rest"]["headers"]["Host"],
    "function-url": RECORDED["function-url"]["headers"]["host"],
    "alb": "jobs.example.com",
}
TARGET_GROUP = RECORDED["alb"]["requestContext"]["elb"]["targetGroupArn"]

DOORS = ("rest", "function-url", "alb", "alb-single-value")


def door_event(
    door: str, method: str, path: str, *, resource: str = "", query: str = "", body: bytes = b"", **headers: str
) -> Json:
    """Return the event of a request at `door`. `resource` is the path of the route, which only a REST API tells."""
    named = [("host", HOSTS[door.removesuffix("-single-value")])]
    named += [(name.replace("_", "-"), value) for name, value in headers.items()]
    if body and "content_type" not in headers:
        named.append(("content-type", "application/json"))
    request = ClientRequest(method, path, query, named, body, ADDRESS)
    if door == "rest":
        return _rest_event(request, resource or path)
    if door == "function-url":
        return function_url_event(request, HOSTS[door])
    return alb_event(request, TARGET_GROUP, multi_value=door == "alb")


def _rest_event(request: ClientRequest, resource: str) -> Json:
    recorded = RECORDED["rest"]
    values = parse_qs(request.query, keep_blank_values=True)
    sent = {name: value for name, value in recorded["headers"].items() if name not in {"Authorization", "Accept"}}
    sent |= {"-".join(part.capitalize() for part in name.split("-")): value for name, value in request.headers}
    path = {"path": f"/live{request.path}", "resourcePath": resource}
    return recorded | {
        "resource": resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: one[-1] for name, one in values.items()} or None,
        "multiValueQueryStringParameters": values or None,
        "requestContext": recorded["requestContext"] | {"httpMethod": request.method} | path,
        "body": request.body.decode() or None,
    }
