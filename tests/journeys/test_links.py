"""Presigned links, on an emulator that verifies them: for one object, one way of saving it, and some minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aioboto3  # type: ignore[import-untyped]
import httpx
import pytest

from coatcheck.core import pack
from coatcheck.core.aws import s3, s3_keys
from coatcheck_infra.local import environment
from coatcheck_infra.local.resources import client
from coatcheck_service.aioboto_transport import AioBotoTransport
from tests.finished_job import FinishedJob
from tests.journeys.results import finished_job_on
from tests.journeys.up_process import Stack
from tests.waiting import eventually

PAGE = b"<script>alert(document.domain)</script>"
OTHER = b"what the link does not lead to"


@pytest.fixture
def http(front_door: Stack) -> Iterator[httpx.Client]:
    """A client of the front door."""
    with front_door.client() as client:
        yield client


@pytest.fixture
def finished_job(front_door: Stack, http: httpx.Client) -> FinishedJob:
    """A job whose result and artifact are in the bucket."""
    made = finished_job_on(front_door, http)
    made.set_artifacts({"other.txt": OTHER}, "text/plain")
    made.set_result(PAGE, "text/html", filename="page.html")
    return made


def linked(http: httpx.Client, finished_job: FinishedJob) -> httpx.URL:
    """A link to the result, made now."""
    answer = http.get(f"/v1/jobs/{finished_job.key.id}/result", params={"link": "true"})
    assert answer.status_code == 200, answer.text
    return httpx.URL(answer.json()["url"])


def assert_saved(answer: httpx.Response) -> None:
    """The whole page, to be saved and not shown."""
    assert (answer.status_code, answer.content) == (200, PAGE), answer.text
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-disposition"] == 'attachment; filename="page.html"'


def get_without_key(method: str, url: httpx.URL | str, **more: Any) -> httpx.Response:
    """An answer of the bucket, without a key."""
    return httpx.request(method, url, trust_env=False, timeout=30, **more)


async def test_a_link_dies_and_the_address_gives_another(
    front_door: Stack, http: httpx.Client, finished_job: FinishedJob
) -> None:
    session = aioboto3.Session(
        front_door.aws_access_key_id, front_door.aws_secret_access_key, region_name=environment.REGION
    )
    transport = AioBotoTransport(front_door.aws_endpoint_url, session)
    attachment = s3.attachment("page.html")
    wanted = s3.presign_download(
        finished_job.bucket, s3_keys.result_key(finished_job.job()), content_type="text/html", disposition=attachment
    )
    brief = (await transport.presign(replace(wanted, expires_in=5))).url
    await transport.aclose()
    assert_saved(get_without_key("GET", brief))
    eventually(lambda: get_without_key("GET", brief).status_code != 200)
    refused = get_without_key("GET", brief)
    assert refused.status_code == 403
    assert b"expired" in refused.content
    fresh = linked(http, finished_job)
    assert int(fresh.params["X-Amz-Expires"]) == wanted.expires_in == 600
    assert_saved(get_without_key("GET", fresh))
    rest = get_without_key("GET", fresh, headers={"Range": "bytes=8-"})
    assert (rest.status_code, rest.content) == (206, PAGE[8:])
    assert rest.headers["content-range"] == f"bytes 8-{len(PAGE) - 1}/{len(PAGE)}"


def test_each_request_gets_a_link_of_its_own(http: httpx.Client, finished_job: FinishedJob) -> None:
    first = linked(http, finished_job)
    eventually(lambda: linked(http, finished_job).params["X-Amz-Date"] > first.params["X-Amz-Date"])


def test_a_link_that_was_tampered_with_is_refused(http: httpx.Client, finished_job: FinishedJob) -> None:
    link = linked(http, finished_job)
    assert link.params["response-content-disposition"].startswith("attachment; ")
    result, artifact = s3_keys.result_key(finished_job.job()), s3_keys.artifact_key(finished_job.job(), "other.txt")
    later = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + 60))
    forged = {
        "another key": link.copy_with(path=link.path.replace(result, artifact)),
        "a key above": link.copy_with(path=link.path.removesuffix("result")),
        "the whole bucket": link.copy_with(path=f"/{finished_job.bucket}"),
        "shown, not saved": link.copy_set_param("response-content-disposition", "inline"),
        "saved as a program": link.copy_set_param("response-content-disposition", 'attachment; filename="a.exe"'),
        "no disposition": link.copy_remove_param("response-content-disposition"),
        "a second disposition": link.copy_add_param("response-content-disposition", "inline"),
        "another type": link.copy_set_param("response-content-type", "image/svg+xml"),
        "no type": link.copy_remove_param("response-content-type"),
        "a further header": link.copy_add_param("response-cache-control", "public"),
        "a longer life": link.copy_set_param("X-Amz-Expires", "86400"),
        "a later start": link.copy_set_param("X-Amz-Date", later),
        "another signer": link.copy_set_param("X-Amz-Credential", "x" + link.params["X-Amz-Credential"]),
        "another signature": link.copy_set_param("X-Amz-Signature", "0" * 64),
        "nothing at all": link.copy_with(query=None),
    }
    for what, url in forged.items():
        answer = get_without_key("GET", url)
        assert answer.status_code == 403, (what, answer.status_code, answer.text)
        assert not {PAGE, OTHER} & {answer.content}, what
    for method in ("PUT", "POST", "DELETE", "HEAD"):
        assert get_without_key(method, link).status_code == 403, method
    assert get_without_key("PUT", link, content=b"mine").status_code == 403
    assert_saved(get_without_key("GET", link))


def test_no_link_is_kept_or_told(front_door: Stack, http: httpx.Client, finished_job: FinishedJob) -> None:
    link = linked(http, finished_job)
    assert_saved(get_without_key("GET", link))
    signed = ("x-amz-", link.params["X-Amz-Signature"])
    told = [http.get(f"/v1/jobs/{finished_job.key.id}{below}").text for below in ("", "/events")]
    told += [http.get("/v1/jobs").text, front_door.log.read_text()]
    dynamodb = client("dynamodb", front_door.aws_endpoint_url, front_door.credentials)
    kept = list(_texts(dynamodb.scan(TableName=finished_job.table)["Items"]))
    assert len(kept) > 10
    assert "GET /v1/jobs/{job_id}/result 200" in told[-1], "the log is the one that tells of it"
    for text in told + kept:
        assert not any(part in text.lower() for part in signed), text[:2000]


def _readable(value: bytes) -> bytes:
    """A hash may begin like packed text by chance."""
    try:
        return pack.unpack(value)
    except ValueError:
        return value


def _texts(value: Any) -> Iterator[str]:
    """Every text in an item of DynamoDB, packed ones too."""
    if isinstance(value, bytes):
        yield _readable(value).decode(errors="replace")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from (name, *_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)
