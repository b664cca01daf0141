"""How answers that are no errors may be kept; that every answer says it, `running_service` looks at in each test."""

from __future__ import annotations

import httpx

from coatcheck.core.job import Blob
from coatcheck_service.front_door import UVICORN
from tests.aws.service.running_service import Api

OWN = ("private, no-cache", "Authorization, Prefer")
NO_STORE = ("no-store", None)


def cache_control(answer: httpx.Response, status: int) -> tuple[str, str | None]:
    """What the answer says."""
    assert answer.status_code == status, answer.text
    return answer.headers["cache-control"], answer.headers.get("vary")


def test_each_answer_about_jobs(api: Api) -> None:
    made = api.post()
    assert cache_control(made, 202) == NO_STORE
    path = f"/v1/jobs/{made.json()['id']}"
    assert cache_control(api.http.get(path), 200) == OWN
    assert cache_control(api.http.get(f"{path}/result"), 202) == OWN
    job = api.finished()
    path = f"/v1/jobs/{job.id}"
    for below in ("", "/result"):
        for method in ("GET", "HEAD"):
            answer = api.http.request(method, path + below)
            assert cache_control(answer, 200) == OWN
        tag = {"If-None-Match": answer.headers["etag"]}
        assert cache_control(api.http.get(path + below, headers=tag), 304) == OWN
    assert cache_control(api.http.get(f"{path}/result", headers={"Range": "bytes=1-"}), 206) == OWN
    assert cache_control(api.http.get(f"{path}/result", headers={"Range": "bytes=99-"}), 416) == NO_STORE
    assert cache_control(api.http.get(f"{path}/result?link=true"), 200)[0] == "no-store"
    for listed in ("/v1/jobs", f"{path}/events", f"{path}/deliveries"):
        assert cache_control(api.http.get(listed), 200) == NO_STORE
    assert cache_control(api.http.delete(path), 204) == NO_STORE


def test_a_link_in_an_answer_is_not_kept(api: Api) -> None:
    job = api.claim(api.submit()["id"])
    job = api.settle(job, result=Blob(UVICORN.inline_limit + 1, b"\0" * 32, "text/plain"))
    for method in ("GET", "HEAD"):
        assert cache_control(api.http.request(method, f"/v1/jobs/{job.id}/result"), 303) == NO_STORE
    upload = {"filename": "a", "content_type": "text/plain", "size": 1}
    made = api.http.post("/v1/uploads", json=upload)
    assert cache_control(made, 201) == NO_STORE
    assert cache_control(api.http.get(f"/v1/uploads/{made.json()['id']}"), 200) == NO_STORE


def test_a_secret_in_an_answer_is_not_kept(api: Api) -> None:
    endpoint = {"url": "https://example.com/", "events": ["job.succeeded"]}
    made = api.http.post("/v1/webhook-endpoints", json=endpoint)
    assert cache_control(made, 201) == NO_STORE
    path = f"/v1/webhook-endpoints/{made.json()['id']}"
    for method, below in (("GET", ""), ("POST", "/rotate-secret"), ("GET", "/deliveries")):
        assert cache_control(api.http.request(method, path + below), 200) == NO_STORE
