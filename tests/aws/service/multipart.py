"""What tests of uploads in parts do: announce one, send its parts, look at it, complete it."""

from __future__ import annotations

from typing import Any

import httpx

from coatcheck.core.part_plan import MIN_PART_SIZE
from tests.aws.service.running_service import Api

BODY = bytes(range(256)) * (MIN_PART_SIZE // 256) + b"the rest"
GIB = 1024**3


def create_upload(api: Api, **more: Any) -> dict[str, Any]:
    """The ticket for an upload of `BODY` in parts, or of what `more` says."""
    asked = {"filename": "table.csv", "content_type": "text/csv", "size": len(BODY), "multipart": True} | more
    answer = api.http.post("/v1/uploads", json=asked)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


def part_body(ticket: dict[str, Any], number: int, body: bytes = BODY) -> bytes:
    """The bytes of one part."""
    return body[(number - 1) * ticket["part_size"] : number * ticket["part_size"]]


def send(api: Api, ticket: dict[str, Any], *numbers: int) -> dict[int, str]:
    """Send these parts, or all; the ETag of each."""
    links = {part["number"]: part["url"] for part in ticket["parts"]}
    answers = {n: api.anonymous.put(links[n], content=part_body(ticket, n)) for n in numbers or links}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {number: answer.headers["etag"] for number, answer in answers.items()}


def fetch_upload(api: Api, ticket: dict[str, Any]) -> dict[str, Any]:
    answer = api.http.get(f"/v1/uploads/{ticket['id']}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    view: dict[str, Any] = answer.json()
    return view


def complete(api: Api, ticket: dict[str, Any], **more: Any) -> httpx.Response:
    return api.http.post(f"/v1/uploads/{ticket['id']}/complete", **more)


def query(ticket: dict[str, Any]) -> dict[str, Any]:
    """A submit that names the upload."""
    return {"type": "table.query", "input": {"sql": "FROM t", "tables": {"t": {"$upload": ticket["id"]}}}}


def stored_key(api: Api, ticket: dict[str, Any]) -> str:
    return f"uploads/{api.tenant}/{ticket['id']}"


def multipart_id(api: Api, ticket: dict[str, Any]) -> str:
    """S3's own id."""
    begun = api.s3.list_multipart_uploads(Bucket=api.running_service.settings.bucket, Prefix=stored_key(api, ticket))
    found: str = begun["Uploads"][0]["UploadId"]
    return found


def is_ministack(api: Api, emulator_url: str) -> bool:
    return api.anonymous.get(f"{emulator_url}/_ministack/health").is_success
