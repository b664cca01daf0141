"""How many requests wait for their jobs, and for how long: what is beyond is answered at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from coatcheck.aws_transport.protocols import Transport
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
