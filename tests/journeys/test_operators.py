"""An operator of a stack that runs sees all tenants, in both ways of running it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from coatcheck_infra.local.resources import STACK, client
from tests.journeys.results import submitted
from tests.journeys.test_keys import keys
from tests.journeys.up_process import Stack
from tests.waiting import eventually


@pytest.fixture
def operator(front_door: Stack, tmp_path: Path) -> Iterator[httpx.Client]:
    key = json.loads(keys(front_door, tmp_path, "create", "--operator", "--json"))["key"]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{front_door.url}/v1/admin", headers=headers, timeout=60, trust_env=False) as http:
        yield http


def get(operator: httpx.Client, path: str, **params: Any) -> Any:
    return operator.get(path, params=params).raise_for_status().json()


def test_an_operator_sees_and_stops_what_tenants_do(front_door: Stack, operator: httpx.Client) -> None:
    with front_door.client() as tenant:
        job = submitted(tenant, "demo.sleep", {"seconds": 300})
        assert tenant.get("/v1/admin/tenants").status_code == 401
        assert "local" in [one["tenant"] for one in get(operator, "/tenants")["data"]]
        listed = get(operator, "/jobs", tenant="local", type="demo.sleep", limit=100)["data"]
        assert job in [one["job"]["id"] for one in listed]
        assert get(operator, f"/tenants/local/jobs/{job}")["job"]["id"] == job
        canceled = operator.post(f"/tenants/local/jobs/{job}/cancel")
        assert canceled.status_code in {200, 202}, canceled.text
        eventually(lambda: tenant.get(f"/v1/jobs/{job}").json()["status"] == "canceled", 60)
    assert get(operator, "/stuck-jobs")["data"] == []
    assert {"default", "heavy", "webhooks"} <= {one["lane"] for one in get(operator, "/queues")["data"]}


def test_an_operator_looks_at_dead_letters_and_discards_one(front_door: Stack, operator: httpx.Client) -> None:
    cloudformation, sqs = (
        client(service, front_door.aws_endpoint_url, front_door.credentials) for service in ("cloudformation", "sqs")
    )
    described = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described}
    sqs.send_message(QueueUrl=outputs["HeavyDeadLettersUrl"], MessageBody="nonsense")
    path = "/queues/heavy/dead-letters"

    def found() -> list[Any]:
        # the sweeper looks at them too, each for a second
        return [one for one in get(operator, path)["data"] if one["body"] == "nonsense"]

    (letter,) = eventually(found, 60)
    eventually(lambda: operator.post(f"{path}/{letter['message_id']}/redrive").json().get("outcome") == "left", 60)
    eventually(lambda: operator.delete(f"{path}/{letter['message_id']}").status_code == 204, 60)
    assert operator.get(f"{path}/{letter['message_id']}").status_code == 404
