"""Every answer says how it may be kept, errors too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from coatcheck.core.aws.call import AwsRefused, AwsUnavailable
from coatcheck_service.http.caching import CACHE_POLICIES
from tests.unit.service.in_process import app, client

OPEN = {
    "/": "no-store",
    "/docs": "public, no-cache",
    "/docs/swagger-ui.css": "public, max-age=86400",
    "/openapi.json": "public, no-cache",
    "/problems/gone": "public, max-age=3600",
    "/v1/health": "no-store",
    "/v1/job-types": "private, max-age=60",
    "/v1/job-types/demo.sleep": "private, max-age=60",
}


def routes(served: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path, with names that nothing has."""
    for route in served.state.routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            yield method, route.path.format(**dict.fromkeys(route.param_convertors, "job_none"))


def test_the_table_has_every_operation_and_no_other() -> None:
    operations = [route.operation_id for route in app().state.routes]
    assert len(operations) == len(CACHE_POLICIES)
    assert set(operations) == set(CACHE_POLICIES)


@pytest.mark.parametrize("error", [RuntimeError, AwsRefused, AwsUnavailable])
async def test_no_error_is_kept(error: type[Exception]) -> None:
    served = app(error)
    statuses = set()
    async with client(served) as http:
        for method, path in routes(served):
            for more in ({"Authorization": ""}, {}, {"Content-Type": "text/plain"}):
                for answer in (
                    await http.request(method, path, headers=more, json={"type": "demo.sleep", "input": {}}),
                    await http.request("PUT", path, headers=more),
                    await http.request(method, f"{path}/nowhere/", headers=more),
                ):
                    if answer.status_code >= 400:
                        statuses.add(answer.status_code)
                        assert answer.headers["cache-control"] == "no-store", (method, path, answer.status_code)
                    assert "cache-control" in answer.headers, (method, path, answer.status_code)
                    assert answer.headers["x-content-type-options"] == "nosniff"
    assert statuses >= {401, 404, 405, 415, 422, 503 if error is AwsUnavailable else 500}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", OPEN)
async def test_what_needs_no_store_says_how_it_is_kept(path: str, method: str) -> None:
    async with client(app()) as http:
        answer = await http.request(method, path)
    assert (answer.status_code < 400, answer.headers["cache-control"]) == (True, OPEN[path])
    vary = "Authorization" if "job-types" in path else "Accept-Encoding" if path.startswith("/docs/") else None
    assert answer.headers.get("vary") == vary
