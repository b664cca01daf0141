"""How many requests wait for their jobs, and for how long: what is beyond is answered at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.settings import Settings
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.waiting import eventually

WAIT = {"Prefer": "wait=20"}


def test_beyond_the_cap_the_answer_comes_at_once(settings: Settings, aws: Transport, emulator_url: str) -> None:
    changed = settings.model_copy(update={"max_waits": 2})
    with (
        run_service(changed, aws, emulator_url) as running_service,
        clients_of(running_service) as api,
        ThreadPoolExecutor(1) as pool,
    ):
        first = api.submit()["id"]
        waiting = pool.submit(api.http.get, f"/v1/jobs/{first}", headers=WAIT)
        eventually(lambda: api.spy.operations.count("BatchGetItem") >= 2)
        began = time.monotonic()
        for answer in (
            api.post(WAIT),
            api.http.get(f"/v1/jobs/{first}", headers=WAIT),
            api.http.get(f"/v1/jobs/{first}/result", headers=WAIT),
        ):
            assert answer.headers["preference-applied"] == "wait=0"
            assert int(answer.headers["retry-after"]) > 0
            assert not answer.json()["done"]
        # half of the waits are for others
        theirs = {"type": "demo.sleep", "input": {"seconds": 0}}
        answer = api.other.post("/v1/jobs", headers={"Prefer": "wait=1"}, json=theirs)
        assert answer.headers["preference-applied"] == "wait=1"
        assert time.monotonic() - began < 20
        api.settle(api.claim(first))
        assert waiting.result(15).json()["done"]
        assert api.post({"Prefer": "wait=1"}).headers["preference-applied"] == "wait=1"


@pytest.mark.parametrize("longest", [0, 1])
def test_no_wait_is_longer_than_the_deployment_says(
    settings: Settings, aws: Transport, emulator_url: str, longest: int
) -> None:
    changed = settings.model_copy(update={"longest_wait": longest})
    with run_service(changed, aws, emulator_url) as running_service, clients_of(running_service) as api:
        _assert_waits(api, longest)


def _assert_waits(api: Api, seconds: int) -> None:
    answer = api.post(WAIT)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == f"wait={seconds}"
    assert (api.spy.operations.count("BatchGetItem") > 0) is (seconds > 0)


def test_a_tenant_waits_as_often_in_a_minute_as_its_limit_says(
    settings: Settings, aws: Transport, emulator_url: str
) -> None:
    with run_service(settings, aws, emulator_url) as running_service, clients_of(running_service) as api:
        aws.send(change_limits(settings.table, api.tenant, {"waits_per_minute": 1}))
        short = {"Prefer": "wait=1"}
        assert [waited(api.post(short)) for _ in range(3)] == [1, 0, 0]
        theirs = {"type": "demo.sleep", "input": {"seconds": 0}}
        assert waited(api.other.post("/v1/jobs", headers=short, json=theirs)) == 1


def test_all_tenants_together_wait_as_often_in_a_minute_as_the_deployment_says(
    settings: Settings, aws: Transport, emulator_url: str
) -> None:
    changed = settings.model_copy(update={"waits_per_minute": 2})
    with run_service(changed, aws, emulator_url) as running_service, clients_of(running_service) as api:
        job = api.submit()["id"]
        answers = [one.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=1"}) for one in (api.http, api.http, api.http)]
        assert [waited(answer) for answer in answers] == [1, 1, 0]
        assert int(answers[-1].headers["retry-after"]) > 0
        theirs = {"type": "demo.sleep", "input": {"seconds": 0}}
        assert waited(api.other.post("/v1/jobs", headers={"Prefer": "wait=1"}, json=theirs)) == 0
        # whoever does not want to wait, or has nothing to wait for, counts nothing
        api.settle(api.claim(job))
        seen = len(api.spy.operations)
        assert waited(api.http.get(f"/v1/jobs/{job}", headers=WAIT)) == 20
        assert "UpdateItem" not in api.spy.operations[seen:]


def waited(answer: httpx.Response) -> int:
    """The seconds of the wait that was granted."""
    return int(answer.headers["preference-applied"].removeprefix("wait="))
