"""For benches: the requests to the API, in a module that loads nothing of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

TENANT = "acme"
KEY = f"cck_{'0' * 26}_{'0' * 32}"
JOB = "job_0h2j4kq8c5v1m9d3s7n6p0r4t0"
SUBMIT = {"type": "bench.noop", "input": {}}
ROUTES: Mapping[str, tuple[str, str, Any]] = {
    "GET": ("/v1/jobs/{job_id}", f"/v1/jobs/{JOB}", None),
    "POST": ("/v1/jobs", "/v1/jobs", SUBMIT),
}
"""By method: the resource, the path and the body."""


def event(method: str) -> dict[str, Any]:
    """What a REST API invokes a function with."""
    resource, path, body = ROUTES[method]
    headers = {
        "Accept": "*/*",
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Host": "abc.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "python-httpx/0.28",
        "X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"job_id": JOB} if method == "GET" else None,
        "requestContext": {"requestId": "id", "path": f"/live{path}", "identity": {"sourceIp": "192.0.2.1"}},
        "body": None if body is None else base64.b64encode(json.dumps(body).encode()).decode(),
        "isBase64Encoded": body is not None,
    }
