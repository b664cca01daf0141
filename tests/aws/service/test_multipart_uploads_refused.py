"""What is refused of uploads in parts, and what is not there for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.dynamodb import upload_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.part_plan import MAX_PARTS
from coatcheck_service.actions.multipart_uploads import MAX_OPEN_UPLOADS
from tests.aws.service.multipart import BODY, complete, create_upload, fetch_upload, multipart_id, send, stored_key
from tests.aws.service.running_service import Api, problem
from tests.transports import Fault, on, throttle

HOSTILE: list[tuple[dict[str, Any], int, str]] = [
    ({"json": []}, 422, "invalid-request"),
    ({"json": {"parts": {}}}, 422, "invalid-request"),
    ({"json": {"parts": [{"number": 0, "etag": "a"}]}}, 422, "invalid-request"),
    ({"json": {"parts": [{"number": "1", "etag": "a"}]}}, 422, "invalid-request"),
    ({"json": {"parts": [{"number": 10**400, "etag": "a"}]}}, 422, "invalid-request"),
    ({"json": {"parts": [{"number": 1, "etag": ""}]}}, 422, "invalid-request"),
    ({"json": {"parts": [{"number": 1, "etag": "<x/>&\u0000"}]}}, 422, "upload-incomplete"),
    ({"json": {"etags": []}}, 422, "invalid-request"),
    ({"content": b'{"parts": [', "headers": {"Content-Type": "application/json"}}, 400, "malformed-json"),
    ({"content": b"\xff", "headers": {"Content-Type": "application/json"}}, 400, "malformed-json"),
    ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported-media-type"),
]


@pytest.mark.parametrize(("body", "status", "code"), HOSTILE)
def test_hostile_bodies_are_refused(api: Api, body: dict[str, Any], status: int, code: str) -> None:
    problem(complete(api, create_upload(api), **body), status, code)


@pytest.mark.parametrize("after", ["-1", "x", "1e3", str(MAX_PARTS + 1), "9" * 400])
def test_parts_behind_nonsense_are_refused(api: Api, after: str) -> None:
    problem(
        api.http.get(f"/v1/uploads/{create_upload(api)['id']}/parts", params={"after": after}), 422, "invalid-request"
    )


CALLS = (("GET", ""), ("GET", "/parts"), ("POST", "/complete"))


@pytest.mark.parametrize(("method", "below"), CALLS)
def test_there_is_nothing_for_others_nor_under_other_ids(api: Api, method: str, below: str) -> None:
    ticket = create_upload(api)
    problem(api.other.request(method, f"/v1/uploads/{ticket['id']}{below}"), 404, "not-found")
    problem(api.anonymous.request(method, f"{api.url}/v1/uploads/{ticket['id']}{below}"), 401, "unauthenticated")
    for unknown in ("upl_none", "job_1", "%00", "a" * 300):
        problem(api.http.request(method, f"/v1/uploads/{unknown}{below}"), 404, "not-found")


@pytest.mark.parametrize(("method", "below"), CALLS)
def test_an_upload_that_expired_is_none(api: Api, method: str, below: str) -> None:
    ticket, table = create_upload(api), api.running_service.settings.table
    record = api.running_service.worker.send(upload_items.get_upload(table, JobKey(api.tenant, ticket["id"])))
    assert record is not None
    api.running_service.worker.send(upload_items.put_upload(table, replace(record, expires_at=1)))
    problem(api.http.request(method, f"/v1/uploads/{ticket['id']}{below}"), 404, "not-found")


@pytest.mark.parametrize(("method", "below"), CALLS)
def test_parts_that_were_thrown_away_are_none(api: Api, method: str, below: str) -> None:
    ticket = create_upload(api)
    api.s3.abort_multipart_upload(
        Bucket=api.running_service.settings.bucket, Key=stored_key(api, ticket), UploadId=multipart_id(api, ticket)
    )
    reply = problem(api.http.request(method, f"/v1/uploads/{ticket['id']}{below}"), 404, "not-found")
    assert "no longer kept" in reply["detail"]


@pytest.mark.parametrize("operation", ["GetItem", "ListParts", "CompleteMultipartUpload"])
def test_a_store_that_does_not_answer_is_told_as_such(api: Api, operation: str) -> None:
    ticket = create_upload(api)
    send(api, ticket)
    api.spy.faults.append(Fault(throttle, on(operation)))
    problem(complete(api, ticket), 503, "unavailable")
    api.spy.faults.clear()
    assert complete(api, ticket).status_code == 200


def test_an_upload_that_is_sent_whole_has_no_parts(api: Api) -> None:
    ticket = create_upload(api, size=1, multipart=False)
    problem(complete(api, ticket), 409, "not-multipart")
    problem(api.http.get(f"/v1/uploads/{ticket['id']}/parts"), 409, "not-multipart")
    view = fetch_upload(api, ticket)
    assert (view["complete"], view["ticket"]["method"]) == (False, "PUT")
    api.anonymous.put(view["ticket"]["url"], content=b"x", headers=view["ticket"]["headers"]).raise_for_status()
    assert (fetch_upload(api, ticket)["complete"], fetch_upload(api, ticket)["ticket"]) == (True, None)


def test_a_tenant_begins_only_so_many(api: Api) -> None:
    ticket, s3 = create_upload(api), api.s3
    for number in range(MAX_OPEN_UPLOADS - 1):
        s3.create_multipart_upload(Bucket=api.running_service.settings.bucket, Key=f"uploads/{api.tenant}/upl_{number}")
    asked = {"filename": "a", "size": len(BODY), "multipart": True}
    problem(api.http.post("/v1/uploads", json=asked), 429, "too-many-uploads")
    assert api.other.post("/v1/uploads", json=asked).status_code == 201
    assert api.http.post("/v1/uploads", json=asked | {"multipart": False}).status_code == 201
    send(api, ticket)
    assert complete(api, ticket).status_code == 200
    assert api.http.post("/v1/uploads", json=asked).status_code == 201
