"""Every error has a status and a page, and no error tells of the inside."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from coatcheck.core import errors
from coatcheck.core.aws.call import AwsRefused, AwsUnavailable
from coatcheck.core.errors import JOB_ERRORS, SERVICE_ERRORS, FieldError, JobErrorKind, ServiceError
from coatcheck.core.settings import BadSettings
from coatcheck_service.front_door import LAMBDA
from coatcheck_service.http.field_errors import invalid_request, pointer
from coatcheck_service.http.problems import HEADERS, STATUS
from tests.example_jobs import CATALOG
from tests.log_lines import log_lines
from tests.unit.service.in_process import KEY, app, client

WEBHOOKS_ALONE = json.dumps({"webhooks": "-"})


def subclasses(kind: type[ServiceError]) -> set[type[ServiceError]]:
    """A class and all that descend from it."""
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_every_error_is_listed_and_has_a_status() -> None:
    assert set(SERVICE_ERRORS) == subclasses(ServiceError) == set(STATUS)
    assert set(HEADERS) <= set(STATUS)
    codes: list[str] = [error.code for error in SERVICE_ERRORS] + [kind.code for kind in JOB_ERRORS]
    assert len(set(codes)) == len(codes)


async def test_every_error_has_a_page() -> None:
    async with client(app()) as http:
        kinds: list[type[ServiceError] | JobErrorKind] = [*SERVICE_ERRORS, *JOB_ERRORS]
        for kind in kinds:
            page = (await http.get(f"/problems/{kind.code}", headers={"Authorization": ""})).json()
            assert page == {
                "code": kind.code,
                "title": kind.title,
                "advice": kind.advice,
                "retryable": kind.retryable,
            }
        assert (await http.get("/problems/nonsense")).status_code == 404


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(RuntimeError, 500, "internal"), (AwsRefused, 500, "internal"), (AwsUnavailable, 503, "unavailable")],
)
async def test_what_fails_inside_stays_inside(error: type[Exception], status: int, code: str) -> None:
    with log_lines() as lines:
        async with client(app(error)) as http:
            answer = await http.get("/v1/jobs/job_1")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "01" * 16
    assert "secret" not in answer.text.lower()
    told = [entry["request_id"] for entry in lines.entries() if entry["logger"].startswith("coatcheck_service.")]
    assert len(told) == 2, "the error, and the line of the request"
    assert set(told) == {"01" * 16}


async def test_the_frameworks_own_errors_are_problems() -> None:
    async with client(app()) as http:
        for answer, status, code in (
            (await http.get("/nowhere"), 404, "not-found"),
            (await http.get("/v1/jobs/"), 404, "not-found"),
            (await http.put("/v1/jobs"), 405, "method-not-allowed"),
            (await http.patch("/v1/jobs/job_1"), 405, "method-not-allowed"),
            (await http.post("/v1/health"), 405, "method-not-allowed"),
            (await http.get("/v1/jobs?limit=%ff"), 422, "invalid-request"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await http.put("/v1/jobs")).headers["allow"] == "GET, HEAD, POST"
        assert (await http.patch("/v1/jobs/job_1")).headers["allow"] == "DELETE, GET, HEAD"


async def test_open_pages_need_no_key_and_answer_head() -> None:
    async with client(app()) as http:
        for path in ("/v1/health", "/openapi.json", "/docs", "/problems/gone"):
            assert (await http.get(path, headers={"Authorization": ""})).status_code == 200
            assert (await http.head(path, headers={"Authorization": ""})).status_code == 200


async def test_a_request_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with client(app(AwsUnavailable)) as http:
        await http.get("/v1/jobs/job_1")
        await http.head("/v1/health")
    lines = [record for record in caplog.records if record.name == "coatcheck_service.http.middleware"]
    assert [line.message for line in lines] == ["GET /v1/jobs/{job_id} 503", "HEAD /v1/health 200"]
    assert [vars(line)["tenant"] for line in lines] == ["alpha", None]
    assert KEY not in [str(value) for value in vars(lines[0]).values()]


async def test_the_public_url_is_what_clients_are_told() -> None:
    async with client(app(public_url="https://jobs.example.com/x")) as http:
        assert (await http.get("/nowhere")).json()["type"] == "https://jobs.example.com/x/problems/not-found"


def test_a_lane_without_a_queue_is_bad_settings() -> None:
    with pytest.raises(BadSettings, match=r"^COATCHECK_QUEUES: has no queue for lane default"):
        app(queues=WEBHOOKS_ALONE, dead_letters=WEBHOOKS_ALONE)


def test_the_lane_of_webhooks_is_nobodys() -> None:
    sleep = CATALOG["demo.sleep"]
    with pytest.raises(BadSettings, match=r"^the lane webhooks of demo\.sleep is reserved"):
        app(catalog={sleep.name: replace(sleep, lane="webhooks")})


def test_a_reply_of_lambda_fits_six_megabytes() -> None:
    assert 4 * -(-LAMBDA.inline_limit // 3) + 60_000 < 6 * 1024**2


@pytest.mark.parametrize(
    ("place", "text"),
    [((), ""), (("a", 0, "b"), "/a/0/b"), (("a/b", "~"), "/a~1b/~0"), (("metadata", "k", "[key]"), "/metadata/k")],
)
def test_pointers(place: tuple[int | str, ...], text: str) -> None:
    assert pointer(place) == text


def test_a_refusal_names_the_first_flaw() -> None:
    assert invalid_request([FieldError("/a", "is wrong")]).detail == "/a: is wrong."
    assert invalid_request([FieldError("/a", "is wrong"), FieldError("", "too")]).detail == "/a: is wrong, and more."
    assert invalid_request([FieldError("", "too")]).field_errors == [errors.FieldError("", "too")]
