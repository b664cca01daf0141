"""How many jobs of a tenant may wait, and how many bytes it may have stored: what a client is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.usage_items import get_usage
from coatcheck.core.settings import Settings
from coatcheck.core.tallies import Tally
from tests.aws.service.limits_harness import LimitedApi, limited_api
from tests.aws.service.running_service import problem
from tests.transports import Fault, Steps, on

# both emulators keep the item alike (tests/aws/test_usage_buckets.py)
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}


@pytest.fixture
def limited(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[LimitedApi]:
    with limited_api(emulator_url, settings, aws) as limited:
        yield limited


def total(limited: LimitedApi, tally: Tally) -> int:
    stores = limited.api.running_service
    return stores.worker.send(get_usage(stores.settings.table, limited.api.tenant)).total(tally)


def test_so_many_jobs_may_wait(limited: LimitedApi) -> None:
    limited.limit(jobs_waiting=2)
    http = limited.api.http
    first, _ = http.post("/v1/jobs", json=JOB).json(), http.post("/v1/jobs", json=JOB | {"delay": 3600})
    refused = http.post("/v1/jobs", json=JOB)
    reply = problem(refused, 429, "too-many-jobs-waiting")
    assert (reply["detail"], reply["retryable"]) == ("2 jobs wait, and 2 may.", True)
    assert refused.headers["Retry-After"] == "10"
    assert http.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
    assert total(limited, Tally.WAITING) == 1
    assert http.post("/v1/jobs", json=JOB).status_code == 202
    limited.limit(jobs_waiting=None)
    assert http.post("/v1/jobs", json=JOB).status_code == 202


def test_rate_and_waiting_are_one_write(limited: LimitedApi) -> None:
    limited.limit(jobs_waiting=5, submit_rate=100, bytes_stored=10**9)
    limited.api.http.post("/v1/jobs", json=JOB)
    limited.api.spy.calls.clear()
    reply = limited.api.http.post("/v1/jobs", json=JOB)
    assert (reply.status_code, "RateLimit" in reply.headers) == (202, True)
    assert limited.api.spy.operations == ["UpdateItem", "PutItem", "SendMessage"]


def test_a_submit_that_is_refused_counts_nothing(limited: LimitedApi) -> None:
    limited.limit(jobs_waiting=1, submit_rate=0.001, submit_burst=2)
    http = limited.api.http
    problem(http.post("/v1/jobs", json=JOB | {"type": "demo.none"}), 422, "invalid-request")
    problem(http.post("/v1/jobs", json=JOB | {"input": {"seconds": "x"}}), 422, "invalid-request")
    assert total(limited, Tally.WAITING) == 0
    assert http.post("/v1/jobs", json=JOB).status_code == 202
    problem(http.post("/v1/jobs", json=JOB), 429, "too-many-jobs-waiting")
    limited.limit(jobs_waiting=9)
    # it took no token either
    assert http.post("/v1/jobs", json=JOB).status_code == 202
    problem(http.post("/v1/jobs", json=JOB), 429, "submit-rate-exceeded")


def test_a_repeat_is_neither_refused_nor_counted(limited: LimitedApi) -> None:
    limited.limit(jobs_waiting=1)
    for _ in range(3):
        limited.clock.now += 1
        reply = limited.api.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "once"})
        assert reply.status_code == 202
    assert total(limited, Tally.WAITING) == 1
    assert limited.api.row(reply.json()["id"]).counted == (Tally.WAITING,)


def test_a_submit_whose_job_another_process_has_made_is_not_counted(limited: LimitedApi) -> None:
    limited.limit(jobs_waiting=9)

    def after_another_process(call: Call[Any]) -> Steps:
        item = call.params["Item"]
        earlier = {**item, "listed": {"S": f"{int(item['listed']['S']) - 5:013d}"}}
        yield replace(call, params={**call.params, "Item": earlier})
        return (yield call)

    limited.api.spy.faults.append(Fault(after_another_process, on("PutItem"), times=1))
    reply = limited.api.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "once"})
    assert (reply.status_code, total(limited, Tally.WAITING)) == (202, 0)


def test_so_many_bytes_may_be_stored(limited: LimitedApi) -> None:
    limited.limit(bytes_stored=3000)
    http = limited.api.http
    assert http.post("/v1/uploads", json={"filename": "a", "size": 2000}).status_code == 201
    reply = problem(http.post("/v1/uploads", json={"filename": "a", "size": 1001}), 429, "storage-quota-exceeded")
    assert reply["detail"] == "2000 bytes are stored, and 3000 may be; this needs 1001 more."
    # an input that goes into the row is not in the bucket
    assert http.post("/v1/jobs", json=JOB).status_code == 202
    sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    problem(http.post("/v1/jobs", json={"type": "table.query", "input": {"sql": sql}}), 429, "storage-quota-exceeded")
    assert "PutObject" not in limited.api.spy.operations
    assert total(limited, Tally.STORED) == 2000
