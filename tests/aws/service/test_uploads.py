"""Uploads: announced, sent, named in an input."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from coatcheck.client.sync_client import Client
from coatcheck.core.clock import DAY, SECOND
from tests.aws.service.running_service import Api, problem

BODY = b"a,b\n1,2\n"


def create_upload(api: Api, **more: Any) -> dict[str, Any]:
    """The ticket for an upload of `BODY`, or of what `more` says."""
    asked = {"filename": "table.csv", "content_type": "text/csv", "size": len(BODY)} | more
    answer = api.http.post("/v1/uploads", json=asked)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


def send(api: Api, ticket: dict[str, Any], body: bytes = BODY, headers: dict[str, str] | None = None) -> int:
    """Send the bytes as the ticket says; the status S3 answers."""
    reply = ticket["headers"] | (headers or {})
    return api.anonymous.request(ticket["method"], ticket["url"], headers=reply, content=body).status_code


def query(upload_id: str) -> dict[str, Any]:
    """A submit that names the upload."""
    return {"type": "table.query", "input": {"sql": "FROM t", "tables": {"t": {"$upload": upload_id}}}}


@pytest.mark.parametrize("sha256", [None, hashlib.sha256(BODY).hexdigest()])
def test_an_upload_is_sent_and_used(api: Api, sha256: str | None) -> None:
    ticket = create_upload(api, sha256=sha256)
    assert ticket["method"] == "PUT"
    assert {name: ticket["headers"][name] for name in ("content-type", "content-length")} == {
        "content-type": "text/csv",
        "content-length": "8",
    }
    assert ("x-amz-checksum-sha256" in ticket["headers"]) is (sha256 is not None)
    assert datetime.fromisoformat(ticket["expires_at"]) > datetime.now().astimezone()
    assert send(api, ticket) == 200
    api.spy.calls.clear()
    api.submit(**query(ticket["id"]))
    assert sorted(api.spy.operations) == ["GetItem", "HeadObject", "PutItem", "Query", "SendMessage"]


def test_an_upload_is_sent_once(api: Api) -> None:
    """Its link is good for a while longer, and a job that was submitted must read what was there then."""
    ticket = create_upload(api)
    assert ticket["headers"]["if-none-match"] == "*"
    assert send(api, ticket) == 200
    assert send(api, ticket, BODY[::-1]) == 412
    upload = api.http.get(f"/v1/uploads/{ticket['id']}").json()
    assert (upload["complete"], upload["ticket"]) == (True, None)
    api.submit(**query(ticket["id"]))
    assert send(api, ticket, BODY[::-1]) == 412
    key = f"uploads/{api.tenant}/{ticket['id']}"
    assert api.s3.get_object(Bucket=api.running_service.settings.bucket, Key=key)["Body"].read() == BODY


def test_a_link_says_itself_that_it_is_for_one_sending(api: Api, emulator_url: str) -> None:
    if not api.anonymous.get(f"{emulator_url}/_ministack/health").is_success:
        pytest.skip("moto verifies no signatures")
    ticket = create_upload(api)
    without = {name: value for name, value in ticket["headers"].items() if name != "if-none-match"}
    assert api.anonymous.put(ticket["url"], headers=without, content=BODY).status_code == 403
    assert send(api, ticket) == 200


def test_what_arrived_the_first_time_is_no_error_for_the_client(api: Api, tmp_path: Path) -> None:
    """The answer to an earlier PUT was lost: S3 refuses the next one, which is of the same file."""
    file = tmp_path / "t.csv"
    file.write_bytes(BODY * 100_000)
    earlier: list[int] = []

    def meanwhile(sent: int, size: int) -> None:
        if not earlier and sent < size:
            announced = next(call for call in api.spy.calls if call.operation == "PutItem")
            (upload,) = set(re.findall(r"upl_\w+", str(announced.params["Item"])))
            ticket = api.http.get(f"/v1/uploads/{upload}").json()["ticket"]
            earlier.append(send(api, ticket, file.read_bytes()))

    with Client(api.url, api.http.headers["authorization"].removeprefix("Bearer "), retry_timeout=5) as client:
        sent = client.upload(file, progress=meanwhile)
    assert earlier == [200]
    assert api.http.get(f"/v1/uploads/{sent}").json()["complete"]


def test_other_bytes_than_announced_are_refused_by_s3(api: Api, emulator_url: str) -> None:
    if not api.anonymous.get(f"{emulator_url}/_ministack/health").is_success:
        pytest.skip("moto verifies neither signatures nor checksums")
    ticket = create_upload(api, sha256=hashlib.sha256(BODY).hexdigest())
    assert send(api, ticket, BODY[::-1]) in {400, 403}
    assert send(api, ticket, BODY + b"!", {"content-length": "9"}) in {400, 403}
    assert send(api, ticket, headers={"content-type": "text/html"}) == 403
    problem(api.post(**query(ticket["id"])), 422, "invalid-request")


def test_an_upload_that_was_not_sent_is_refused(api: Api) -> None:
    reply = problem(api.post(**query(create_upload(api)["id"])), 422, "invalid-request")
    assert reply["errors"] == [
        {"pointer": "/input/tables/t", "detail": "names an upload that was created, but not sent"}
    ]


def test_an_upload_of_another_size_is_refused(api: Api) -> None:
    ticket = create_upload(api, size=100)
    api.put(f"uploads/{api.tenant}/{ticket['id']}", BODY)
    reply = problem(api.post(**query(ticket["id"])), 422, "invalid-request")
    assert "8 bytes were sent, not 100" in reply["errors"][0]["detail"]


@pytest.mark.parametrize("upload_id", ["upl_none", "upl_", "job_1", "../x", ""])
def test_what_is_no_upload_is_refused(api: Api, upload_id: str) -> None:
    reply = problem(api.post(**query(upload_id)), 422, "invalid-request")
    assert reply["errors"][0]["pointer"].startswith("/input/tables/t")


def test_a_submit_is_repeated_though_its_upload_is_gone(api: Api) -> None:
    ticket = create_upload(api)
    send(api, ticket)
    key = {"Idempotency-Key": "k"}
    first = api.post(key, **query(ticket["id"]))
    api.s3.delete_object(Bucket=api.running_service.settings.bucket, Key=f"uploads/{api.tenant}/{ticket['id']}")
    again = api.post(key, **query(ticket["id"]))
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    problem(api.post(**query(ticket["id"])), 422, "invalid-request")


def test_a_replay_looks_for_the_upload_again(api: Api) -> None:
    ticket = create_upload(api)
    send(api, ticket)
    job = api.finished(**query(ticket["id"]))
    assert api.http.post(f"/v1/jobs/{job.id}/replay").status_code == 202
    api.s3.delete_object(Bucket=api.running_service.settings.bucket, Key=f"uploads/{api.tenant}/{ticket['id']}")
    problem(api.http.post(f"/v1/jobs/{job.id}/replay"), 422, "invalid-request")


def test_an_upload_must_last_until_the_start(api: Api) -> None:
    ticket = create_upload(api)
    send(api, ticket)
    reply = problem(api.post(delay=40 * DAY // SECOND, **query(ticket["id"])), 422, "invalid-request")
    assert reply["errors"][0]["pointer"] == "/input/tables/t"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"filename": ""}, "/filename"),
    ({"filename": "a/b"}, "/filename"),
    ({"filename": "a\\b"}, "/filename"),
    ({"filename": "a\nb"}, "/filename"),
    ({"filename": "x" * 256}, "/filename"),
    ({"content_type": "text"}, "/content_type"),
    ({"content_type": "text/csv\r\nX: y"}, "/content_type"),
    ({"size": -1}, "/size"),
    ({"size": 1024**4 + 1}, "/size"),
    ({"size": "8"}, "/size"),
    ({"sha256": "abc"}, "/sha256"),
    ({"part_size": 5}, "/part_size"),
    ({"multipart": 1}, "/multipart"),
]


@pytest.mark.parametrize(("more", "pointer"), REFUSED)
def test_what_does_not_fit_is_refused(api: Api, more: dict[str, Any], pointer: str) -> None:
    answer = api.http.post("/v1/uploads", json={"filename": "a.csv", "size": 1} | more)
    reply = problem(answer, 422, "invalid-request")
    assert [error["pointer"] for error in reply["errors"]] == [pointer]
