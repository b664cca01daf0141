"""Results and artifacts of every size at which something may change, through the Lambda handler."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck_service.front_door import LAMBDA, MIB
from tests.aws.service.lambda_process import InvokeFunction, body_of, event
from tests.aws.service.running_service import Api
from tests.boundary_sizes import KINDS, around
from tests.finished_job import FinishedJob

# what counts is how answers are encoded, and whether links are what was signed: moto verifies none
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

SIZES = around(LAMBDA.inline_limit)

# Lambda itself refuses from 6,291,556 bytes on; what its documentation promises is 6 MB
LARGEST_ANSWER = 6 * MIB

RESULT = "/v1/jobs/{job_id}/result"
ARTIFACT = RESULT + "/{name}"

Event = dict[str, Any]


@pytest.fixture
def finished_jobs(api: Api, finished_job: FinishedJob) -> list[FinishedJob]:
    """A job for each of SIZES."""
    return [replace(finished_job, key=JobKey(api.tenant, api.finished().id)) for _ in SIZES]


def tag_of(body: bytes) -> str:
    """The ETag of these bytes."""
    return f'"{hashlib.sha256(body).hexdigest()}"'


def fetched(api: Api, url: str) -> httpx.Response:
    """What the link leads anybody to."""
    got = api.anonymous.get(url, timeout=60)
    assert got.status_code == 200, got.text[:300]
    assert got.headers["content-disposition"].startswith("attachment; ")
    return got


def assert_whole(answer: Event, body: bytes, content_type: str) -> None:
    """200 with exactly these bytes, and what there is to say of them."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert answer["statusCode"] == 200
    assert body_of(answer) == body
    assert answer["headers"]["content-length"] == str(len(body))
    assert answer["headers"]["content-type"] == content_type
    assert answer["headers"]["etag"] == tag_of(body)
    assert answer["headers"]["content-digest"] == f"sha-256=:{digest}:"


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_of_any_size_gets_through(
    api: Api, finished_jobs: list[FinishedJob], invoke: InvokeFunction, kind: str
) -> None:
    content_type, made = KINDS[kind]
    for finished_job, size in zip(finished_jobs, SIZES, strict=True):
        finished_job.set_result(made(size), content_type)
    _assert_collected(
        api, invoke, kind, [event(api, "GET", RESULT, job_id=finished_job.key.id) for finished_job in finished_jobs]
    )


@pytest.mark.parametrize("kind", ["escapes", "noise"])
def test_an_artifact_of_any_size_gets_through(
    api: Api, finished_job: FinishedJob, invoke: InvokeFunction, kind: str
) -> None:
    content_type, made = KINDS[kind]
    finished_job.set_artifacts({f"{size}.txt": made(size) for size in SIZES}, content_type)
    job_id = finished_job.key.id
    asked = [event(api, "GET", ARTIFACT, job_id=job_id, name=f"{size}.txt") for size in SIZES]
    _assert_collected(api, invoke, kind, asked)


def _assert_collected(api: Api, invoke: InvokeFunction, kind: str, asked: list[Event]) -> None:
    """Each of `asked` leads to the bytes of its size: itself, by link, and not where the client has them."""
    content_type, made = KINDS[kind]
    by_link = [each | {"multiValueQueryStringParameters": {"link": ["true"]}} for each in asked]
    known = [
        each | {"multiValueHeaders": each["multiValueHeaders"] | {"If-None-Match": [tag_of(made(size))]}}
        for each, size in zip(asked, SIZES, strict=True)
    ]
    answers = invoke(*asked, *by_link, *known)
    assert max(len(json.dumps(answer)) for answer in answers) <= LARGEST_ANSWER
    count = len(SIZES)
    for size, plain, linked, unchanged in zip(
        SIZES, answers[:count], answers[count : 2 * count], answers[2 * count :], strict=True
    ):
        body = made(size)
        if size <= LAMBDA.inline_limit:
            assert_whole(plain, body, content_type)
        else:
            assert (plain["statusCode"], plain["body"]) == (303, "")
            got = fetched(api, plain["headers"]["location"])
            assert (got.content == body, got.headers["content-type"]) == (True, content_type)
        link = json.loads(body_of(linked))
        assert (linked["statusCode"], link["size"], link["content_type"]) == (200, size, content_type)
        assert f'"{link["sha256"]}"' == tag_of(body)
        got = fetched(api, link["url"])
        assert (got.content == body, got.headers["content-type"]) == (True, content_type)
        assert (unchanged["statusCode"], unchanged["body"]) == (304, "")
        assert unchanged["headers"]["etag"] == tag_of(body)
