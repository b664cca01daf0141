"""The routes that pass FastAPI by answer as they do through it."""

from __future__ import annotations

import functools
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from coatcheck.core.aws.call import AwsRefused, AwsUnavailable
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck_service.http.direct_routes import DirectRoutesMiddleware
from tests.unit.service.in_process import KEY, app

BEARER = {"Authorization": f"Bearer {KEY}"}
JSON = BEARER | {"Content-Type": "application/json"}
ERRORS = {error.__name__: error for error in (RuntimeError, AwsRefused, AwsUnavailable, NewerRow)}
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a look": ("GET", "/v1/jobs/job_1", {"headers": BEARER}),
    "a look with a query": ("GET", "/v1/jobs/job_1?unknown=1", {"headers": BEARER}),
    "the head of a look": ("HEAD", "/v1/jobs/job_1", {"headers": BEARER}),
    "no credentials": ("GET", "/v1/jobs/job_1", {}),
    "a basic password": ("GET", "/v1/jobs/job_1", {"headers": {"Authorization": "Basic eDp5"}}),
    "another key": ("GET", "/v1/jobs/job_1", {"headers": {"Authorization": b"Bearer \xff"}}),
    "two keys": ("GET", "/v1/jobs/job_1", {"headers": [*BEARER.items(), *BEARER.items()]}),
    "no id of a job": ("GET", "/v1/jobs/nonsense", {"headers": BEARER}),
    "an id with a line end": ("GET", "/v1/jobs/job_1%0A", {"headers": BEARER}),
    "an id with a slash": ("GET", "/v1/jobs/job_1%2Fx", {"headers": BEARER}),
    "a slash at the end": ("GET", "/v1/jobs/job_1/", {"headers": BEARER}),
    "a list": ("GET", "/v1/jobs", {"headers": BEARER}),
    "a method that is not there": ("PUT", "/v1/jobs/job_1", {"headers": BEARER}),
    "a method that no path has": ("PATCH", "/v1/jobs", {"headers": BEARER}),
    "a submit": ("POST", "/v1/jobs", {"headers": BEARER, "json": {"type": "demo.sleep", "input": {"seconds": 1}}}),
    "a submit of nothing": ("POST", "/v1/jobs", {"headers": BEARER}),
    "a submit that is no JSON": ("POST", "/v1/jobs", {"headers": JSON, "content": "{"}),
    "a submit of an unknown type": ("POST", "/v1/jobs", {"headers": BEARER, "json": {"type": "unknown"}}),
    "a submit with unknown fields": ("POST", "/v1/jobs", {"headers": BEARER, "json": {"type": "x", "y": 1}}),
    "a submit that is too large": ("POST", "/v1/jobs", {"headers": JSON, "content": b"[" * 2_000_000}),
    "a submit without credentials": ("POST", "/v1/jobs", {"json": {"type": "demo.sleep"}}),
}


def direct(served: FastAPI) -> list[Any]:
    """The part of the app that serves directly, as it was added."""
    return [
        added
        for added in served.user_middleware
        if getattr(added.cls, "__name__", "") == DirectRoutesMiddleware.__name__
    ]


async def answer(served: FastAPI, request: tuple[str, str, dict[str, Any]], root_path: str) -> tuple[Any, ...]:
    method, path, options = request
    transport = httpx.ASGITransport(served, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        got = await http.request(method, root_path + path, **options)
    return got.status_code, sorted(got.headers.multi_items()), got.content


@functools.cache
def apps(error: str) -> tuple[FastAPI, FastAPI]:
    """The app on an AWS that fails so, and the same without that part. To make them takes longer than to ask."""
    through_fastapi = app(ERRORS[error])
    for added in direct(through_fastapi):
        through_fastapi.user_middleware.remove(added)
    return app(ERRORS[error]), through_fastapi


def test_the_routes_that_are_asked_for_most_are_served_directly() -> None:
    (added,) = direct(app())
    assert {route.operation_id for route in added.kwargs["routes"]} == {"get_job", "submit"}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("root_path", ["", "/live"])
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_an_answer_is_the_same_without_fastapi(
    request_: tuple[str, str, dict[str, Any]], root_path: str, error: str
) -> None:
    directly, through_fastapi = apps(error)
    assert await answer(directly, request_, root_path) == await answer(through_fastapi, request_, root_path)
