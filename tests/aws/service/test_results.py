"""Collecting results: in the answer itself, through S3, by link."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import FAIL
from coatcheck_service.front_door import UVICORN
from tests.aws.service.running_service import Api, problem
from tests.transports import Fault, on, throttle

SMALL = "näh\n".encode()
LARGE = bytes(range(256)) * 4096
CUT = 700_001
HUGE = b"0123456789abcdef" * (UVICORN.inline_limit // 16) + b"!"


def blob(body: bytes, content_type: str = "text/csv; charset=utf-8", filename: str | None = "report ü.csv") -> Blob:
    """A result of these bytes, not kept in the row."""
    return Blob(len(body), hashlib.sha256(body).digest(), content_type, filename)


def done(api: Api, body: bytes, *, inline: bool = False, content_type: str = "text/csv; charset=utf-8") -> Job:
    """A job with this result."""
    job = api.claim(api.submit()["id"])
    result = replace(blob(body, content_type), inline=body if inline else None)
    if not inline:
        api.put(s3_keys.result_key(job), body)
    return api.settle(job, result=result)


def path(job: Job, below: str = "") -> str:
    """Where the job's result is."""
    return f"/v1/jobs/{job.id}/result{below}"


@pytest.mark.parametrize(("body", "inline"), [(SMALL, True), (b"", True), (LARGE, False), (b"", False)])
def test_a_result_is_handed_out_whole(api: Api, body: bytes, inline: bool) -> None:  # noqa: FBT001
    job = done(api, body, inline=inline)
    answer = api.http.get(path(job))
    digest = hashlib.sha256(body)
    assert answer.status_code == 200
    assert answer.content == body
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["content-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["repr-digest"] == answer.headers["content-digest"]
    disposition = answer.headers["content-disposition"]
    assert disposition == "attachment; filename=\"report _.csv\"; filename*=UTF-8''report%20%C3%BC.csv"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert api.http.get(f"/v1/jobs/{job.id}").json()["result"] == {
        "size": len(body),
        "content_type": "text/csv; charset=utf-8",
        "sha256": digest.hexdigest(),
        "expires_at": api.http.get(f"/v1/jobs/{job.id}").json()["expires_at"],
    }


@pytest.mark.parametrize("inline", [True, False])
def test_what_the_client_has_is_not_sent_again(api: Api, inline: bool) -> None:  # noqa: FBT001
    job = done(api, SMALL, inline=inline)
    tag = api.http.get(path(job)).headers["etag"]
    answer = api.http.get(path(job), headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert api.spy.operations.count("GetObject") == (0 if inline else 1)


@pytest.mark.parametrize("inline", [True, False])
def test_head_tells_as_much_without_the_bytes(api: Api, inline: bool) -> None:  # noqa: FBT001
    job = done(api, SMALL, inline=inline)
    head = api.http.head(path(job))
    assert api.spy.operations.count("GetObject") == 0
    got = api.http.get(path(job))
    assert head.content == b""
    names = ("content-length", "content-type", "etag", "content-digest", "repr-digest", "content-disposition")
    for name in (*names, "accept-ranges"):
        assert head.headers[name] == got.headers[name]
    ranged = api.http.head(path(job), headers={"Range": "bytes=2-"})
    assert (ranged.status_code, ranged.headers["content-length"]) == (200, head.headers["content-length"])


@pytest.mark.parametrize("inline", [True, False])
def test_a_download_goes_on_where_it_broke_off(api: Api, inline: bool) -> None:  # noqa: FBT001
    job = done(api, LARGE, inline=inline)
    whole = api.http.get(path(job))
    tag, size = whole.headers["etag"], len(LARGE)
    assert whole.headers["accept-ranges"] == "bytes"
    for asked, first, last in ((f"bytes={CUT}-", CUT, size - 1), ("bytes=-9", size - 9, size - 1), ("bytes=3-7", 3, 7)):
        piece = api.http.get(path(job), headers={"Range": asked, "If-Range": tag})
        assert piece.status_code == 206
        assert piece.content == LARGE[first : last + 1]
        assert piece.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert piece.headers["content-length"] == str(last - first + 1)
        # RFC 9530: one is of the content, which is a piece; the other is of the whole
        assert "content-digest" not in piece.headers
        for name in ("etag", "repr-digest", "content-type", "content-disposition", "cache-control", "vary"):
            assert piece.headers[name] == whole.headers[name]
        assert "sandbox" in piece.headers["content-security-policy"]
    behind = api.http.get(path(job), headers={"Range": f"bytes={size}-"})
    problem(behind, 416, "range-not-satisfiable")
    assert behind.headers["content-range"] == f"bytes */{size}"
    for other in ({"Range": "bytes=0-1,4-5"}, {"Range": "bytes=4-", "If-Range": '"other"'}):
        again = api.http.get(path(job), headers=other)
        assert (again.status_code, again.content) == (200, LARGE)
    known = api.http.get(path(job), headers={"Range": "bytes=4-", "If-None-Match": tag})
    assert known.status_code == 304


def test_a_result_too_large_for_an_answer_is_a_redirect(api: Api) -> None:
    job = done(api, HUGE)
    answer = api.http.get(path(job))
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["cache-control"] == "no-store"
    got = api.anonymous.get(answer.headers["location"])
    assert got.status_code == 200
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(HUGE).digest()
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    assert "report%20%C3%BC.csv" in got.headers["content-disposition"]
    # a URL signed for GET refuses HEAD, and the other way round
    head = api.http.head(path(job))
    assert head.status_code == 303
    looked = api.anonymous.head(head.headers["location"])
    assert (looked.status_code, looked.headers["content-length"]) == (200, str(len(HUGE)))


def test_a_result_just_small_enough_comes_itself(api: Api) -> None:
    job = done(api, HUGE[:-1])
    answer = api.http.get(path(job))
    assert answer.status_code == 200
    assert answer.content == HUGE[:-1]


def test_the_redirect_holds_for_this_object_alone(api: Api, emulator_url: str) -> None:
    job = done(api, HUGE)
    location = httpx.URL(api.http.get(path(job)).headers["location"])
    assert int(location.params["X-Amz-Expires"]) == s3.DOWNLOAD_URL_SECONDS
    if api.anonymous.get(f"{emulator_url}/_ministack/health").is_success:  # moto verifies no signature
        forged = location.copy_set_param("X-Amz-Signature", "0" * 64)
        assert api.anonymous.get(forged).status_code == 403
        assert api.anonymous.get(location.copy_with(path=location.path + "x")).status_code == 403


@pytest.mark.parametrize("inline", [True, False])
def test_a_link_leads_to_the_bytes(api: Api, inline: bool) -> None:  # noqa: FBT001
    job = done(api, SMALL, inline=inline)
    answer = api.http.get(path(job), params={"link": "true"})
    link = answer.json()
    assert set(link) == {"url", "expires_at", "size", "sha256", "content_type"}
    assert answer.headers["cache-control"] == "no-store"
    assert (link["size"], link["sha256"]) == (len(SMALL), hashlib.sha256(SMALL).hexdigest())
    fetcher = api.http if inline else api.anonymous
    assert fetcher.get(link["url"]).content == SMALL
    assert link["url"].startswith(api.url) is inline


def test_a_link_that_is_neither_true_nor_false_is_refused(api: Api) -> None:
    reply = problem(api.http.get(path(done(api, SMALL)), params={"link": "maybe"}), 422, "invalid-request")
    assert reply["errors"][0]["pointer"] == "/link"


def test_before_the_end_it_is_the_job(api: Api) -> None:
    job_id = api.submit()["id"]
    for query in ({}, {"link": "true"}):
        answer = api.http.get(f"/v1/jobs/{job_id}/result", params=query)
        assert (answer.status_code, answer.json()["id"], answer.json()["done"]) == (202, job_id, False)
        assert answer.headers["retry-after"] == "1"


def test_a_wait_ends_with_the_result(api: Api) -> None:
    job = api.claim(api.submit()["id"])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.http.get, path(job), headers={"Prefer": "wait=20"})
        api.settle(job, result=Blob.of(b"{}", JSON))
        answer = waiting.result(10)
    assert answer.json() == {}
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job.id}.json"'


def test_a_job_that_failed_has_none(api: Api) -> None:
    job = api.settle(api.claim(api.submit()["id"]), FAIL, error=JobError("rejected", "No."))
    reply = problem(api.http.get(path(job)), 409, "no-result")
    assert "failed (rejected)" in reply["detail"]


def test_a_job_that_succeeded_with_nothing_has_none(api: Api) -> None:
    problem(api.http.get(path(api.settle(api.claim(api.submit()["id"])))), 409, "no-result")


def test_a_result_that_the_bucket_has_lost_is_gone(api: Api) -> None:
    job = api.settle(api.claim(api.submit()["id"]), result=blob(SMALL))
    problem(api.http.get(path(job)), 410, "gone")


def test_a_content_type_that_is_none_is_not_repeated(api: Api) -> None:
    job = done(api, SMALL, inline=True, content_type="text/html\r\nX-Evil: 1")
    answer = api.http.get(path(job))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in answer.headers


def test_artifacts_of_earlier_legs_are_handed_out_too(api: Api) -> None:
    send, table = api.running_service.worker.send, api.running_service.settings.table
    job = api.claim(api.submit()["id"])
    for name, body in {"kept.txt": SMALL, "sheet.png": LARGE, "twice.txt": b"first"}.items():
        api.put(s3_keys.artifact_key(job, name), body)
    files = [blob(SMALL, "text/plain", "kept.txt"), blob(LARGE, "image/png", "sheet.png")]
    files.append(blob(b"first", "text/plain", "twice.txt"))
    send(job_items.put_artifacts(table, job, files, more_legs=True))
    checkpoint = Blob.of(b"1", JSON)
    send(transitions.continue_later(table, job, now=job.updated_at, checkpoint=checkpoint, artifact_count=3))
    job = api.claim(job.id)
    assert api.http.get(f"/v1/jobs/{job.id}").json()["artifacts"] == []
    api.put(s3_keys.artifact_key(job, "twice.txt"), b"second")
    send(job_items.put_artifacts(table, job, [blob(b"second", "text/plain", "twice.txt")]))
    job = api.settle(job, artifact_count=1)
    view = api.http.get(f"/v1/jobs/{job.id}").json()
    assert [made["name"] for made in view["artifacts"]] == ["kept.txt", "sheet.png", "twice.txt"]
    assert api.http.get("/v1/jobs").json()["data"][0]["artifacts"] == view["artifacts"]
    for name, body in {"kept.txt": SMALL, "sheet.png": LARGE, "twice.txt": b"second"}.items():
        link = api.http.get(f"/v1/jobs/{job.id}/result/{name}", params={"link": "true"}).json()["url"]
        assert api.anonymous.get(link).content == body


def test_artifacts_are_listed_and_handed_out(api: Api) -> None:
    job = api.claim(api.submit()["id"])
    made = [blob(SMALL, "text/plain", "notes.txt"), blob(LARGE, "image/png", "sheet.png")]
    for each, body in zip(made, (SMALL, LARGE), strict=True):
        api.put(s3_keys.artifact_key(job, each.filename or ""), body)
    api.running_service.worker.send(job_items.put_artifacts(api.running_service.settings.table, job, made))
    job = api.settle(job, artifact_count=2)
    view = api.http.get(f"/v1/jobs/{job.id}").json()
    assert [(each["name"], each["size"], each["content_type"]) for each in view["artifacts"]] == [
        ("notes.txt", len(SMALL), "text/plain"),
        ("sheet.png", len(LARGE), "image/png"),
    ]
    assert [listed["artifacts"] for listed in api.http.get("/v1/jobs").json()["data"]] == [view["artifacts"]]
    assert api.http.get(path(job, "/sheet.png")).content == LARGE
    assert 'filename="notes.txt"' in api.http.get(path(job, "/notes.txt")).headers["content-disposition"]
    link = api.http.get(path(job, "/notes.txt"), params={"link": "true"}).json()["url"]
    assert api.anonymous.get(link).content == SMALL
    problem(api.http.get(path(job, "/other.txt")), 404, "not-found")
    problem(api.http.get(path(job, "/..%2f..%2fresult")), 404, "not-found")


def test_a_store_that_does_not_answer_is_503(api: Api) -> None:
    job = done(api, LARGE)
    api.spy.faults.append(Fault(throttle, on("GetObject")))
    problem(api.http.get(path(job)), 503, "unavailable")
