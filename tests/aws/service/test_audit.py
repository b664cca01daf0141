"""The audit log of real requests: as many lines as events, each with the request and the key that it came with."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from coatcheck_infra.ops.api_keys.key_store import IssuedKey, KeyStore
from tests.aws.service.running_service import Api
from tests.log_lines import log_lines

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def issued(aws: Transport, settings: Settings, tenant: str) -> IssuedKey:
    return KeyStore(aws, settings.table).create(tenant)


@pytest.fixture
def http(api: Api, issued: IssuedKey) -> Iterator[httpx.Client]:
    """A client with a key of the table, that takes part in a trace."""
    headers = {"Authorization": f"Bearer {issued.text}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    with httpx.Client(base_url=api.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def test_each_event_of_a_job_has_its_line(http: httpx.Client, issued: IssuedKey) -> None:
    with log_lines() as lines:
        made = http.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}, "delay": 3600})
        job = made.json()["id"]
        canceled = http.post(f"/v1/jobs/{job}/cancel")
        again = http.post(f"/v1/jobs/{job}/cancel")
        events = [event["type"] for event in http.get(f"/v1/jobs/{job}/events").json()["data"]]
        deleted = http.delete(f"/v1/jobs/{job}")
    assert (made.status_code, canceled.status_code, again.status_code, deleted.status_code) == (202, 200, 200, 204)
    entries = lines.audit(job=job)
    assert [entry["action"] for entry in entries] == [*events, "job.deleted"]
    requests = [answer.headers["x-request-id"] for answer in (made, canceled, deleted)]
    assert [entry["request_id"] for entry in entries] == requests
    assert {(entry["tenant"], entry["key"], entry["trace_id"]) for entry in entries} == {
        (issued.key.tenant, issued.key.id, TRACE)
    }
    assert entries[1]["error"] == "canceled"
    assert issued.text not in lines.text()


def test_what_a_worker_does_has_no_request(api: Api) -> None:
    with log_lines() as lines:
        job = api.finished()
    assert [(entry["action"], entry.get("key")) for entry in lines.audit(job=job.id)] == [
        ("job.queued", None),
        ("job.started", None),
        ("job.succeeded", None),
    ]
    assert [entry.get("request_id") is None for entry in lines.audit(job=job.id)] == [False, True, True]


def test_each_change_of_an_endpoint_has_its_line(http: httpx.Client, issued: IssuedKey) -> None:
    with log_lines() as lines:
        made = http.post("/v1/webhook-endpoints", json={"url": "https://example.com/hook"}).json()
        path = f"/v1/webhook-endpoints/{made['id']}"
        http.patch(path, json={"description": "changed"})
        http.patch(path, json={"description": "changed"})
        rotated = http.post(f"{path}/rotate-secret").json()
        http.post(f"{path}/test")
        http.delete(path)
        assert http.delete(path).status_code == 404
    assert [entry["action"] for entry in lines.audit(target=made["id"], key=issued.key.id)] == [
        "endpoint.created",
        "endpoint.changed",
        "endpoint.secret_rotated",
        "endpoint.tested",
        "endpoint.deleted",
    ]
    assert made["secret"] not in lines.text()
    assert rotated["secret"] not in lines.text()
    assert "example.com" not in lines.text()


def test_requests_of_others_do_not_get_the_key_of_the_one_before(api: Api, http: httpx.Client) -> None:
    with log_lines() as lines:
        http.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}, "delay": 3600})
        other = api.http.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}, "delay": 3600})
        refused = api.anonymous.get("/v1/jobs")
    (entry,) = lines.audit(job=other.json()["id"])
    assert "key" not in entry
    assert "trace_id" not in entry
    told = [one for one in lines.entries() if one.get("request_id") == refused.headers["x-request-id"]]
    assert told
    assert not any("key" in one for one in told)
