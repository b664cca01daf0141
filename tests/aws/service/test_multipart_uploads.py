"""Uploads in parts: announced, sent part by part to S3 itself, resumed, completed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coatcheck.client.sync_client import Client
from coatcheck.core.aws import s3, s3_multipart
from coatcheck.core.part_plan import MAX_PARTS, MIN_PART_SIZE, SINGLE_PART_LIMIT, UPLOAD_LIMIT
from coatcheck_service.actions.multipart_uploads import PARTS_PER_PAGE
from tests.aws.service.multipart import (
    BODY,
    GIB,
    complete,
    create_upload,
    fetch_upload,
    is_ministack,
    multipart_id,
    part_body,
    query,
    send,
    stored_key,
)
from tests.aws.service.running_service import Api, problem
from tests.transports import Fault, on, repeat


def test_parts_are_sent_and_two_jobs_use_them(api: Api) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    ticket = create_upload(api, sha256=digest)
    assert [part["number"] for part in ticket["parts"]] == [1, 2]
    assert ticket["next_parts"] is None
    send(api, ticket)
    answer = complete(api, ticket)
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert {name: view[name] for name in ("id", "size", "sha256", "complete", "ticket")} == {
        "id": ticket["id"],
        "size": len(BODY),
        "sha256": digest,
        "complete": True,
        "ticket": None,
    }
    stored = api.s3.get_object(Bucket=api.running_service.settings.bucket, Key=stored_key(api, ticket))
    assert (stored["ContentType"], stored["Metadata"]) == ("text/csv", {s3.DECLARED_SHA256: digest})
    assert stored["Body"].read() == BODY
    assert api.submit(**query(ticket))["id"] != api.submit(**query(ticket))["id"]


@pytest.mark.parametrize("size", [SINGLE_PART_LIMIT + 1, 700 * GIB + 1, UPLOAD_LIMIT])
def test_every_part_of_a_large_file_has_its_place_on_some_page(api: Api, size: int) -> None:
    ticket = create_upload(api, size=size, multipart=False)
    assert {"id", "part_size", "parts", "next_parts", "expires_at"} == set(ticket)
    assert ticket["part_size"] % 1024**2 == 0
    count = -(-size // ticket["part_size"])
    assert count <= MAX_PARTS
    second = api.http.get(ticket["next_parts"]).json()
    last = api.http.get(ticket["next_parts"].replace(f"after={PARTS_PER_PAGE}", f"after={count - 3}")).json()
    reply = [[part["number"] for part in page["parts"]] for page in (ticket, second, last)]
    assert reply == [
        list(range(1, PARTS_PER_PAGE + 1)),
        list(range(PARTS_PER_PAGE + 1, 2 * PARTS_PER_PAGE + 1)),
        [count - 2, count - 1, count],
    ]
    assert last["next_parts"] is None
    assert len({part["url"] for page in (ticket, second, last) for part in page["parts"]}) == 2 * PARTS_PER_PAGE + 3


@pytest.mark.parametrize(("size", "asked"), [(SINGLE_PART_LIMIT, False), (MIN_PART_SIZE, True), (0, True)])
def test_what_one_request_carries_is_sent_whole(api: Api, size: int, *, asked: bool) -> None:
    assert create_upload(api, size=size, multipart=asked)["method"] == "PUT"


def test_a_part_is_taken_as_it_was_signed_and_not_otherwise(api: Api, emulator_url: str) -> None:
    if not is_ministack(api, emulator_url):
        pytest.skip("moto verifies neither signatures nor checksums")
    ticket = create_upload(api)
    first, second = (part["url"] for part in ticket["parts"])
    refused = [
        api.anonymous.put(first, content=part_body(ticket, 1)[:-1]),
        api.anonymous.put(first, content=part_body(ticket, 2)),
        api.anonymous.put(second, content=part_body(ticket, 1)),
        api.anonymous.put(first.replace("partNumber=1", "partNumber=3"), content=part_body(ticket, 1)),
        api.anonymous.put(first.replace(ticket["id"], "upl_other"), content=part_body(ticket, 1)),
        api.anonymous.put(first.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000"), content=part_body(ticket, 1)),
        api.anonymous.post(first, content=part_body(ticket, 1)),
    ]
    assert {answer.status_code for answer in refused} <= {403, 405}
    damaged = api.anonymous.put(
        first, content=part_body(ticket, 1), headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    )
    assert damaged.status_code == 400
    assert [part["number"] for part in fetch_upload(api, ticket)["ticket"]["parts"]] == [1, 2]


def test_a_client_that_died_goes_on_where_it_stopped(api: Api) -> None:
    ticket = create_upload(api)
    send(api, ticket, 1)
    view = fetch_upload(api, ticket)
    assert not view["complete"]
    resumed = view["ticket"]
    assert (resumed["part_size"], [part["number"] for part in resumed["parts"]]) == (ticket["part_size"], [2])
    page = api.http.get(f"/v1/uploads/{ticket['id']}/parts").json()
    assert [part["number"] for part in page["parts"]] == [2]
    send(api, resumed, 2)
    assert fetch_upload(api, ticket)["ticket"]["parts"] == []
    assert complete(api, ticket).status_code == 200
    assert fetch_upload(api, ticket) == complete(api, ticket).json()
    assert api.http.get(f"/v1/uploads/{ticket['id']}/parts").json()["parts"] == []


def test_the_client_goes_on_with_an_upload(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(BODY)
    ticket = create_upload(api, sha256=hashlib.sha256(BODY).hexdigest())
    send(api, ticket, 1)
    steps: list[tuple[int, int]] = []
    with Client(api.url, api.http.headers["authorization"].removeprefix("Bearer ")) as client:
        for _ in range(2):
            assert client.upload(file, resume=ticket["id"], progress=lambda *step: steps.append(step)) == ticket["id"]
    assert (steps[0], steps[-1]) == ((MIN_PART_SIZE, len(BODY)), (len(BODY), len(BODY)))
    assert fetch_upload(api, ticket)["complete"]
    stored = api.s3.get_object(Bucket=api.running_service.settings.bucket, Key=stored_key(api, ticket))
    assert stored["Body"].read() == BODY


@pytest.mark.parametrize("repeated", [set(), {"CompleteMultipartUpload", "ListParts"}])
def test_completing_twice_is_completing_once(api: Api, repeated: set[str]) -> None:
    ticket = create_upload(api)
    send(api, ticket)
    api.spy.faults.append(Fault(repeat, on(*repeated)))
    first, second = complete(api, ticket), complete(api, ticket)
    assert (first.status_code, second.status_code, first.json()) == (200, 200, second.json())


def test_an_upload_with_a_part_missing_stays_open(api: Api) -> None:
    ticket = create_upload(api)
    send(api, ticket, 2)
    reply = problem(complete(api, ticket), 422, "upload-incomplete")
    assert reply["errors"] == [{"pointer": "/parts", "detail": f"part 1, of {MIN_PART_SIZE} bytes, was not sent"}]
    refused = problem(api.post(**query(ticket)), 422, "invalid-request")
    assert refused["errors"][0]["detail"] == "names an upload that was created, but not completed"
    send(api, ticket, 1)
    assert complete(api, ticket).status_code == 200


def test_a_part_of_another_size_has_not_arrived(api: Api) -> None:
    ticket = create_upload(api)
    send(api, ticket)
    api.s3.upload_part(
        Bucket=api.running_service.settings.bucket,
        Key=stored_key(api, ticket),
        UploadId=multipart_id(api, ticket),
        PartNumber=2,
        Body=b"short",
    )
    reply = problem(complete(api, ticket), 422, "upload-incomplete")
    assert reply["errors"] == [{"pointer": "/parts", "detail": "part 2, of 8 bytes, has 5"}]
    assert [part["number"] for part in fetch_upload(api, ticket)["ticket"]["parts"]] == [2]


def test_a_list_of_parts_must_be_that_of_what_arrived(api: Api) -> None:
    ticket = create_upload(api)
    etags = send(api, ticket)
    right: list[dict[str, Any]] = [{"number": number, "etag": etag} for number, etag in etags.items()]
    swapped = [{"number": 1, "etag": etags[2]}, {"number": 2, "etag": etags[1]}]
    wrong = {
        ("/parts/0/etag", "/parts/1/etag"): swapped,
        ("/parts",): right[:1],
        ("/parts/2/number",): [*right, {"number": 3, "etag": etags[1]}],
        ("/parts/1/number", "/parts"): [right[0], right[0]],
        ("/parts", "/parts"): [],
    }
    for pointers, parts in wrong.items():
        reply = problem(complete(api, ticket, json={"parts": parts}), 422, "upload-incomplete")
        assert tuple(error["pointer"] for error in reply["errors"]) == pointers
    unquoted = [{"number": part["number"], "etag": part["etag"].strip('"')} for part in reversed(right)]
    assert complete(api, ticket, json={"parts": unquoted}).status_code == 200


def test_a_part_that_changed_since_it_was_listed_is_noticed(api: Api) -> None:
    ticket = create_upload(api)
    etags = send(api, ticket)
    stale = [
        s3_multipart.UploadedPart(1, MIN_PART_SIZE, "0" * 32),
        s3_multipart.UploadedPart(2, 8, etags[2].strip('"')),
    ]
    bucket, key = api.running_service.settings.bucket, stored_key(api, ticket)
    assert not api.running_service.worker.send(s3_multipart.complete(bucket, key, multipart_id(api, ticket), stale))
    assert not fetch_upload(api, ticket)["complete"]


def test_the_list_of_parts_is_read_to_its_end(api: Api) -> None:
    """S3 lists 1,000 parts at once; these are few, so it is asked for one at a time."""
    ticket = create_upload(api)
    send(api, ticket)
    bucket, key, s3_id = api.running_service.settings.bucket, stored_key(api, ticket), multipart_id(api, ticket)
    call = s3_multipart.list_parts(bucket, key, s3_id, after=0)
    page = api.running_service.worker.send(replace(call, params={**call.params, "MaxParts": 1}))
    assert page is not None
    assert ([part.number for part in page.parts], page.more) == ([1], True)
    rest = api.running_service.worker.send(s3_multipart.list_parts(bucket, key, s3_id, after=1))
    assert rest is not None
    assert ([part.number for part in rest.parts], rest.more) == ([2], False)
