"""The rate at which a tenant may submit, and what a client is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import SECOND
from coatcheck.core.settings import Settings
from tests.aws.service.limits_harness import Clock, LimitedApi, limited_api
from tests.aws.service.running_service import Api, problem

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}


@pytest.fixture
def limited(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[LimitedApi]:
    with limited_api(emulator_url, settings, aws) as limited:
        yield limited


@pytest.fixture
def api(limited: LimitedApi) -> Api:
    return limited.api


@pytest.fixture
def limit(limited: LimitedApi) -> Callable[..., None]:
    return limited.limit


@pytest.fixture
def clock(limited: LimitedApi) -> Clock:
    return limited.clock


def test_a_tenant_without_a_rate_is_told_of_none_and_costs_no_write(api: Api) -> None:
    api.http.post("/v1/jobs", json=JOB)
    api.spy.calls.clear()
    reply = api.http.post("/v1/jobs", json=JOB)
    assert reply.status_code == 202
    assert not [name for name in reply.headers if name.startswith("ratelimit")]
    assert api.spy.operations == ["PutItem", "SendMessage"]


def test_a_submit_says_what_is_left_and_one_too_many_when_to_come_back(
    api: Api, limit: Callable[..., None], clock: Clock
) -> None:
    limit(submit_rate=0.5, submit_burst=2)
    replies = [api.http.post("/v1/jobs", json=JOB) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [202, 202, 429]
    assert {reply.headers["RateLimit-Policy"] for reply in replies} == {'"submits";q=2;w=4'}
    assert [reply.headers["RateLimit"] for reply in replies] == [
        '"submits";r=1;t=2',
        '"submits";r=0;t=4',
        '"submits";r=0;t=4',
    ]
    found = problem(replies[2], 429, "submit-rate-exceeded")
    assert (found["detail"], found["retryable"]) == ("0.5 submits a second are allowed, 2 at once.", True)
    assert replies[2].headers["Retry-After"] == "2"
    clock.now += 2 * SECOND
    assert api.http.post("/v1/jobs", json=JOB).status_code == 202
    # the other tenant is not concerned
    assert api.other.post("/v1/jobs", json=JOB).status_code == 202


def test_a_submit_that_counts_is_one_write_more(api: Api, limit: Callable[..., None]) -> None:
    limit(submit_rate=100)
    api.http.post("/v1/jobs", json=JOB)
    api.spy.calls.clear()
    assert api.http.post("/v1/jobs", json=JOB).status_code == 202
    assert api.spy.operations == ["UpdateItem", "PutItem", "SendMessage"]
    api.spy.calls.clear()
    assert api.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "k"}).status_code == 202
    assert api.spy.operations == ["GetItem", "UpdateItem", "PutItem", "SendMessage"]


def test_a_repeat_is_neither_refused_nor_counted(api: Api, limit: Callable[..., None], clock: Clock) -> None:
    limit(submit_rate=0.001)
    key = {"Idempotency-Key": "once"}
    first = api.http.post("/v1/jobs", json=JOB, headers=key)
    assert first.headers["RateLimit"].startswith('"submits";r=0;')
    for _ in range(3):
        clock.now += 1
        again = api.http.post("/v1/jobs", json=JOB, headers=key)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        assert again.headers["Idempotent-Replayed"] == "true"
        assert "RateLimit" not in again.headers
    problem(api.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "another"}), 429, "submit-rate-exceeded")


def test_a_replay_counts(api: Api, limit: Callable[..., None]) -> None:
    job = api.finished()
    limit(submit_rate=0.001)
    assert api.http.post(f"/v1/jobs/{job.id}/replay").status_code == 202
    problem(api.http.post(f"/v1/jobs/{job.id}/replay"), 429, "submit-rate-exceeded")
