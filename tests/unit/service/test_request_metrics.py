"""The metrics of requests: endpoints by their template, and nothing that a client can make up."""

from __future__ import annotations

import httpx
import pytest

from coatcheck.core.aws.call import AwsUnavailable
from tests.metric_lines import metric_lines
from tests.unit.service.in_process import app, client

JOB = "/v1/jobs/{job_id}"


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "status_class"),
    [
        ("GET", "/v1/health", "GET /v1/health", "2xx"),
        ("HEAD", "/v1/health", "GET /v1/health", "2xx"),
        ("GET", "/v1/jobs/job_1", f"GET {JOB}", "5xx"),
        ("DELETE", "/v1/jobs/job_1", f"DELETE {JOB}", "5xx"),
        ("GET", "/v1/job-types/made.up", "GET /v1/job-types/{name}", "4xx"),
        # whatever a client makes up is one value
        ("GET", "/v1/made/up", "none", "4xx"),
        ("MADEUP", "/v1/jobs/job_1", "none", "4xx"),
        ("PUT", "/v1/jobs", "none", "4xx"),
    ],
)
async def test_a_request_counts_for_its_endpoint(method: str, path: str, endpoint: str, status_class: str) -> None:
    with metric_lines() as told:
        async with client(app(AwsUnavailable)) as asking:
            await asking.request(method, path)
        assert told.values("Requests", Endpoint=endpoint, StatusClass=status_class) == [1]
        assert told.values("Requests", StatusClass=status_class) == [1]
        assert len(told.values("RequestTime", Endpoint=endpoint)) == 1
        assert [one for one in told.data() if "Tenant" in one.dimensions] == []


async def test_a_tenant_counts_where_it_is_asked_for() -> None:
    with metric_lines(by_tenant=True) as told:
        async with client(app(AwsUnavailable)) as asking:
            await asking.get("/v1/jobs/job_1")
            await asking.get("/v1/jobs/job_1", headers={"Authorization": "Bearer made up"})
        assert told.values("TenantRequests", Tenant="alpha", StatusClass="5xx") == [1]
        assert {one.dimensions.get("Tenant", "alpha") for one in told.data()} == {"alpha"}


async def test_an_error_that_nobody_expected_counts_as_5xx() -> None:
    with metric_lines() as told:
        async with client(app(RuntimeError)) as asking:
            answer: httpx.Response = await asking.get("/v1/jobs/job_1")
        assert answer.status_code == 500
        assert told.values("Requests", StatusClass="5xx") == [1]
