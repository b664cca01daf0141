"""The API's function serves what is asked for most without FastAPI, and all else with it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fastapi.routing import APIRoute

from bench.service_requests import service_environment
from coatcheck_service.app import TENANT_ROUTERS
from coatcheck_service.routes.frequent import DIRECT_ROUTES

ASK = """
import json, sys
from bench.api_requests import event
from coatcheck_service.aws_lambda import handler
asked = [("GET", None), ("POST", None), ("HEAD", None), ("GET", "/v1/jobs"), ("GET", "/v1/nothing"), ("GET", None)]
for method, path in asked:
    one = event("GET" if method == "HEAD" else method)
    one["httpMethod"] = method
    if path:
        one |= {"path": path, "resource": path, "requestContext": one["requestContext"] | {"path": f"/live{path}"}}
    print(method, path or "-", handler(one, None)["statusCode"], "fastapi" in sys.modules)
"""

ASK_ONCE = """
import sys
from bench.api_requests import event
from coatcheck_service.aws_lambda import handler
print(handler(event("GET"), None)["statusCode"], "fastapi" in sys.modules)
"""


@pytest.mark.parametrize("start", ["on-demand", "snap-start"])
def test_fastapi_is_loaded_by_the_first_request_that_needs_it_or_for_the_snapshot(start: str) -> None:
    with service_environment() as env:
        started = env | {"AWS_LAMBDA_INITIALIZATION_TYPE": start, "PYTHONPATH": "."}
        asked = subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True, env=started)
    early = str(start == "snap-start")
    assert [line for line in asked.stdout.splitlines() if not line.startswith("{")] == [
        f"GET - 200 {early}",
        f"POST - 202 {early}",
        "HEAD - 200 True",
        "GET /v1/jobs 200 True",
        "GET /v1/nothing 404 True",
        "GET - 200 True",
    ]


def test_all_middleware_comes_before_them_too() -> None:
    """Which keeps out who goes around CloudFront."""
    with service_environment() as env:
        started = env | {"COATCHECK_ORIGIN_SECRET": "name", "PYTHONPATH": "."}
        command = [sys.executable, "-c", ASK_ONCE]
        asked = subprocess.run(command, check=True, capture_output=True, text=True, env=started)
    assert asked.stdout.splitlines()[-1] == "403 False"


def test_they_are_declared_to_fastapi_alike() -> None:
    declared = {
        (method, route.path, route.operation_id)
        for router in TENANT_ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert {(route.method, route.path, route.operation_id) for route in DIRECT_ROUTES} <= declared
