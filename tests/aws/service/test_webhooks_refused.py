"""Webhook endpoints: whose they are, how many there can be, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coatcheck.core.webhooks import JOBS_ENDPOINT, MAX_ENDPOINTS, MAX_ENDPOINTS_OF_A_HOST
from tests.aws.service.running_service import Api, problem
from tests.aws.service.test_webhooks import ALL, URL, create, derived, item, shown
from tests.transports import Fault, on, repeat

# both emulators keep items alike (tests/aws/test_webhook_items.py): what the API does with them is tried on one
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

CALLS = [
    ("GET", "", None),
    ("PATCH", "", {"description": "theirs"}),
    ("DELETE", "", None),
    ("POST", "/rotate-secret", None),
    ("POST", "/test", None),
    ("GET", "/deliveries", None),
    ("POST", "/deliveries/dlv_1/resend", None),
]


@pytest.mark.parametrize(("method", "below", "body"), CALLS)
def test_another_tenants_endpoint_is_none(api: Api, method: str, below: str, body: Any) -> None:
    made = create(api)
    kept = item(api, made["id"])
    problem(api.other.request(method, f"{ALL}/{made['id']}{below}", json=body), 404, "not-found")
    problem(api.anonymous.request(method, f"{ALL}/{made['id']}{below}", json=body), 401, "unauthenticated")
    assert api.other.get(ALL).json()["data"] == []
    assert item(api, made["id"]) == kept


@pytest.mark.parametrize(("method", "below", "body"), CALLS)
@pytest.mark.parametrize("endpoint_id", ["whe_none", "job_1", "x", "whe_%23", "whe_" + "x" * 100])
def test_what_is_no_endpoint_is_not_found(api: Api, method: str, below: str, body: Any, endpoint_id: str) -> None:
    problem(api.http.request(method, f"{ALL}/{endpoint_id}{below}", json=body), 404, "not-found")


class TestOfTheUrlsOfJobs:
    """The endpoint that only has a secret."""

    def test_it_is_there_when_its_secret_was_asked_for(self, api: Api) -> None:
        problem(api.http.get(f"{ALL}/{JOBS_ENDPOINT}"), 404, "not-found")
        first = api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret").json()
        assert first["secret"] == derived(api, JOBS_ENDPOINT, 1)
        assert shown(api, JOBS_ENDPOINT) == {name: value for name, value in first.items() if name != "secret"}
        second = api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret").json()
        assert second["secret"] == derived(api, JOBS_ENDPOINT, 2)
        other = api.other.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret").json()
        assert other["secret"] not in {first["secret"], second["secret"]}

    @pytest.mark.parametrize("made", [True, False])
    @pytest.mark.parametrize(("method", "below", "body"), [call for call in CALLS[1:] if "rotate" not in call[1]])
    def test_it_is_good_for_nothing_else(self, api: Api, method: str, below: str, body: Any, *, made: bool) -> None:
        if made:
            api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret")
        problem(api.http.request(method, f"{ALL}/{JOBS_ENDPOINT}{below}", json=body), 409, "reserved-endpoint")

    def test_a_first_secret_whose_reply_is_lost_is_followed_by_the_second(self, api: Api) -> None:
        api.spy.faults.append(Fault(repeat, on("PutItem")))
        given = api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret").json()["secret"]
        assert given == derived(api, JOBS_ENDPOINT, item(api, JOBS_ENDPOINT).generation)


def test_a_tenant_has_so_many_endpoints_and_no_more(api: Api) -> None:
    with ThreadPoolExecutor(20) as pool:
        urls = [f"https://hooks{number}.example.com/" for number in range(MAX_ENDPOINTS + 5)]
        answers = list(pool.map(lambda url: api.http.post(ALL, json={"url": url}), urls))
    refusals = [answer for answer in answers if answer.status_code != 201]
    for refusal in refusals:
        problem(refusal, 409, "too-many-endpoints")
    listed = api.http.get(ALL).json()["data"]
    assert len(listed) == len(answers) - len(refusals) == MAX_ENDPOINTS
    problem(api.http.post(ALL, json={"url": URL}), 409, "too-many-endpoints")
    api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret")
    api.http.delete(f"{ALL}/{listed[0]['id']}")
    create(api)


def test_a_host_is_named_by_so_many_endpoints_and_no_more(api: Api) -> None:
    urls = [f"https://hooks.example.com{port}/{number}" for number in range(4) for port in ("", ":8443")]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda url: api.http.post(ALL, json={"url": url}), urls))
    assert sorted(answer.status_code for answer in answers) == [201] * MAX_ENDPOINTS_OF_A_HOST + [409] * 3
    reply = problem(api.http.post(ALL, json={"url": "https://HOOKS.example.com./x"}), 409, "too-many-endpoints")
    assert reply["detail"] == "5 endpoints may name the host `hooks.example.com`: subscribe one to more events."
    other = api.http.post(ALL, json={"url": "https://other.example.com/"}).json()
    problem(api.http.patch(f"{ALL}/{other['id']}", json={"url": urls[0]}), 409, "too-many-endpoints")
    assert api.http.get(f"{ALL}/{other['id']}").json()["url"] == "https://other.example.com/"
    one = next(answer.json()["id"] for answer in answers if answer.status_code == 201)
    assert api.http.patch(f"{ALL}/{one}", json={"url": "https://hooks.example.com/new"}).status_code == 200
    # another tenant is another sender
    assert api.other.post(ALL, json={"url": urls[0]}).status_code == 201


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "/url"),
    ({"url": None}, "/url"),
    ({"url": ""}, "/url"),
    ({"url": 5}, "/url"),
    ({"url": "hooks.example.com"}, "/url"),
    ({"url": "http://hooks.example.com/"}, "/url"),
    ({"url": "ftp://hooks.example.com/"}, "/url"),
    ({"url": "https://user:password@hooks.example.com/"}, "/url"),
    ({"url": "https://hooks.example.com:22/"}, "/url"),
    ({"url": "https://localhost/"}, "/url"),
    ({"url": "https://127.1/"}, "/url"),
    ({"url": "https://0x7f000001/"}, "/url"),
    ({"url": "https://[::ffff:169.254.169.254]/"}, "/url"),
    ({"url": "https://169.254.169.254/latest/meta-data/"}, "/url"),
    ({"url": "https://метаданные.example/"}, "/url"),
    ({"url": "https://hooks.example.com/ \r\nX: y"}, "/url"),
    ({"url": "https://hooks.example.com/" + "x" * 2048}, "/url"),
    ({"url": URL, "events": None}, "/events"),
    ({"url": URL, "events": []}, "/events"),
    ({"url": URL, "events": "job.failed"}, "/events"),
    ({"url": URL, "events": ["job.failed"] * 7}, "/events"),
    ({"url": URL, "events": ["job.failed", "webhook.test"]}, "/events/1"),
    ({"url": URL, "description": "x" * 501}, "/description"),
    ({"url": URL, "enabled": "yes"}, "/enabled"),
    ({"url": URL, "secret": "whsec_mine"}, "/secret"),
    ({"url": URL, "id": "whe_mine"}, "/id"),
]


@pytest.mark.parametrize(("body", "pointer"), REFUSED, ids=[json.dumps(body)[:60] for body, _ in REFUSED])
def test_what_does_not_fit_is_refused_with_its_place(api: Api, body: dict[str, Any], pointer: str) -> None:
    reply = problem(api.http.post(ALL, json=body), 422, "invalid-request")
    assert [error["pointer"] for error in reply["errors"]] == [pointer]
    if body:
        reply = problem(api.http.patch(f"{ALL}/whe_1", json=body), 422, "invalid-request")
        assert [error["pointer"] for error in reply["errors"]] == [pointer]
    assert api.spy.calls == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"url":"\\ud800"}', b'{"url":"a","url":"b"}', b"\xff"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_hostile_bodies_are_problems(api: Api, method: str, body: bytes) -> None:
    path = ALL if method == "POST" else f"{ALL}/whe_1"
    answer = api.http.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    problem(answer, answer.status_code, "malformed-json" if answer.status_code == 400 else "invalid-request")
    assert api.spy.calls == []


def test_the_service_itself_is_no_target(api: Api) -> None:
    reply = problem(
        api.http.post(ALL, json={"url": "https://api.example.com/v1/jobs"}, headers={"Host": "api.example.com"}),
        422,
        "invalid-request",
    )
    assert reply["errors"] == [{"pointer": "/url", "detail": "webhook url: the address is not allowed"}]
