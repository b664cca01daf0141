"""Events of API Gateway, function URLs and load balancers: what a client can put into one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.hostile.queue_events.bodies import FOREIGN, VALUES

KEY = "k" * 32
RESOURCES: Sequence[tuple[str, str]] = (
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/docs/{asset}"),
    ("GET", "/openapi.json"),
    ("GET", "/problems/{code}"),
    ("GET", "/v1/health"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("DELETE", "/v1/jobs/{job_id}"),
    ("POST", "/v1/jobs/{job_id}/replay"),
    ("GET", "/v1/jobs/{job_id}/events"),
    ("GET", "/v1/jobs/{job_id}/result/{name}"),
    ("GET", "/v1/job-types/{name}"),
    ("POST", "/v1/uploads"),
    ("POST", "/v1/uploads/{upload_id}/complete"),
    ("POST", "/v1/webhook-endpoints"),
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"),
)
SEGMENTS = (
    "job_0h2j4kq8c5v1m9d3s7n6p0r4t0",
    "upl_1",
    "whe_1",
    "whe_jobs",
    "..",
    ".",
    "",
    "%2e%2e",
    "%2F",
    "%00",
    "a%0d%0aSet-Cookie:x",
    "job_" + "a" * 60,
    "a" * 5000,
    "\u00e9",
    "\u202e",
    "<script>",
    "swagger-ui.css",
    "not-found",
    "demo.sleep",
    "{job_id}",
    "*",
)
HEADERS = (
    "Accept",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "Traceparent",
    "Upgrade",
    "X-Amzn-Trace-Id",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-HTTP-Method-Override",
    "Authorization",
)
HOSTS = (
    "api.test",
    "api.test:443",
    "api.test:x",
    "a:b:c",
    "[::1]:443",
    "[::1]",
    "",
    ":",
    "\u00e9",
    "a b",
    "a/b",
    "a@b?c#d",
)
TEXTS = (
    "",
    " ",
    "*",
    "0",
    "-1",
    "1" * 400,
    "a" * 9000,
    '"' * 900,
    "wait=0",
    "bytes=0-0",
    "text/event-stream",
    "application/json",
    "application/json; charset=utf-16",
    "gzip",
    "chunked",
    "evil.test",
    "http",
    "javascript",
    "\u00e9\u00ff",
    "evt_000001",
    f"Bearer {KEY}",
    f"Bearer {KEY}, Bearer {KEY}",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Basic eA==",
    "\t",
    "100-continue",
)
QUERIES = ("after", "limit", "link", "status", "type", "created_after", "created_before", "x", "", "after[]", "limit ")
BODIES = ('{"type":"demo.sleep","input":{"seconds":0}}', '{"filename":"a","size":1}', '{"url":"https://example.com/"}')


@dataclass(frozen=True)
class Sent:
    """What a client sends, before something makes an event of it."""

    method: str
    resource: str
    path: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: bytes | None


def make_event(random: Random) -> dict[str, Any]:
    """Return an event of one of the three."""
    method, resource = random.choice(RESOURCES)
    method = random.choice((method, method, method, method, "HEAD", "OPTIONS", "TRACE", "PURGE", method.lower()))
    path = "/".join(random.choice(SEGMENTS) if part.startswith("{") else part for part in resource.split("/"))
    headers = {random.choice(HEADERS): random.choice(TEXTS) for _ in range(random.randrange(6))}
    # AWS takes no other Host than that of an API
    headers |= {"Host": "api.test"} if "Host" in headers else {}
    if random.random() < 0.8:
        headers |= {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    query = [(random.choice(QUERIES), random.choice((*TEXTS, "%zz", "a&b"))) for _ in range(random.randrange(3))]
    make = random.choice((_of_api_gateway, _of_function_url, _of_load_balancer))
    return make(random, Sent(method, resource, path, headers, query, _body(random)))


def _body(random: Random) -> bytes | None:
    kind = random.random()
    if kind < 0.3:
        return None
    if kind < 0.6:
        return random.choice(BODIES).encode()
    text = random.choice((*FOREIGN, json.dumps(random.choice(VALUES)), json.dumps({"type": random.choice(VALUES)})))
    return random.choice((text.encode(errors="surrogatepass"), random.randbytes(random.randrange(300))))


def _of_api_gateway(random: Random, sent: Sent) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""
    values: dict[str, list[str]] = {}
    for name, value in sent.query:
        values.setdefault(name, []).append(value)
    repeated = {name: [value] * random.choice((1, 1, 1, 2)) for name, value in sent.headers.items()}
    return {
        "resource": sent.resource,
        "path": sent.path,
        "httpMethod": sent.method,
        "headers": sent.headers or None,
        "multiValueHeaders": repeated or None,
        "queryStringParameters": dict(sent.query) or None,
        "multiValueQueryStringParameters": values or None,
        "pathParameters": None,
        "requestContext": {"requestId": "id", "path": f"/live{sent.path}", "identity": {"sourceIp": "192.0.2.1"}},
        **_encoded(sent.body),
    }


def _of_function_url(random: Random, sent: Sent) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    http = {"method": sent.method, "path": sent.path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}
    return {
        "version": "2.0",
        "rawPath": sent.path,
        "rawQueryString": "&".join(f"{name}={value}" for name, value in sent.query),
        "headers": {name.lower(): value for name, value in sent.headers.items()},
        "cookies": [random.choice(TEXTS)] if random.random() < 0.1 else [],
        "requestContext": {"requestId": "id", "http": http},
        **_encoded(sent.body),
    }


def _of_load_balancer(random: Random, sent: Sent) -> dict[str, Any]:
    """https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html"""
    headers = {name.lower(): value for name, value in sent.headers.items()}
    # it takes any name, and the target group's health check sends none
    headers |= {"host": random.choice(HOSTS)} if random.random() < 0.8 else {}
    parts: dict[str, Any] = {"headers": headers, "queryStringParameters": dict(sent.query)}
    if random.random() < 0.8:
        repeated = {name: [value] * random.choice((1, 1, 1, 2)) for name, value in headers.items()}
        parts = {"multiValueHeaders": repeated, "multiValueQueryStringParameters": {k: [v, v] for k, v in sent.query}}
    context = {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/t/1"}}
    encoded = _encoded(sent.body) if sent.body else {"body": "", "isBase64Encoded": False}
    return {"requestContext": context, "httpMethod": sent.method, "path": sent.path, **parts, **encoded}


def _encoded(body: bytes | None) -> dict[str, Any]:
    return {"body": None if body is None else base64.b64encode(body).decode(), "isBase64Encoded": body is not None}
