"""What an owner does about dead letters, on a stack as `coatcheck up` makes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck.core.settings import WEBHOOKS
from coatcheck_infra.local.home import TENANT
from coatcheck_infra.local.resources import STACK, client, session
from coatcheck_infra.ops.target_deployment import from_stack
from tests.journeys.up_process import RunCli, Stack
from tests.waiting import eventually

Json = dict[str, Any]


def put(stack: Stack, body: str, *, lane: str = "default", dead: bool = False) -> None:
    """Put a message into a lane's queue, or straight among its dead letters."""
    settings = from_stack(STACK, session(stack.credentials), stack.aws_endpoint_url).settings
    url = (settings.dead_letters if dead else settings.queues)[lane]
    client("sqs", stack.aws_endpoint_url, stack.credentials).send_message(QueueUrl=url, MessageBody=body)


def listed(run_cli: RunCli, count: int, lane: str = "default") -> list[Json]:
    """What is listed once it is so many: a worker has to put it aside first."""
    found: list[Json] = []

    def look() -> bool:
        ended = run_cli("dlq", "list", "--lane", lane, "--json")
        assert ended.returncode == 0, ended.stderr
        found[:] = [json.loads(line) for line in ended.stdout.splitlines()]
        return len(found) == count

    eventually(look, described=lambda: found)
    return found


@pytest.fixture
def empty_dead_letters(run_cli: RunCli) -> Iterator[None]:
    """Leaves no dead letters behind."""
    yield
    assert run_cli("dlq", "redrive", "--lane", "default", "--drop-unreadable").returncode == 0


@pytest.mark.usefixtures("empty_dead_letters")
def test_garbage_is_put_aside_and_holds_nobody_up(stack: Stack, run_cli: RunCli) -> None:
    put(stack, "this is no JSON")
    put(stack, JobMessage(tenant=TENANT, job="job_that-never-was").model_dump_json())
    ended = run_cli("submit", "demo.sleep", "--input", '{"seconds": 0}', "--wait")
    assert ended.returncode == 0, ended.stderr

    unread, unknown = sorted(listed(run_cli, 2), key=lambda dead_letter: dead_letter["status"])
    assert (unread["status"], unread["job"], unread["body"]) == ("cannot be read", None, "this is no JSON")
    assert unread["reason"].startswith("cannot be read: body: Invalid JSON")
    assert (unknown["status"], unknown["job"], unknown["tenant"]) == ("not there", "job_that-never-was", TENANT)
    assert unknown["reason"]

    table = run_cli("dlq", "list", "--lane", "default").stdout.splitlines()
    assert table[0].split() == ["LANE", "SENT", "AGE", "RECEIVES", "JOB", "TENANT", "STATUS", "ATTEMPT", "REASON"]
    assert sorted("cannot be read" in line for line in table[1:]) == [False, True]


@pytest.mark.usefixtures("empty_dead_letters")
def test_a_dead_letter_is_told_in_the_history_of_its_job_and_redriven(stack: Stack, run_cli: RunCli) -> None:
    job = run_cli("submit", "demo.sleep", "--input", '{"seconds": 0}', "--delay", "600").stdout.strip()
    put(stack, JobMessage(tenant=TENANT, job=job).model_dump_json(), dead=True)

    with stack.client() as api:

        def describe() -> list[Json]:
            events: list[Json] = api.get(f"/v1/jobs/{job}/events").json()["data"]
            return [event for event in events if event["type"] == "job.dead_lettered"]

        eventually(describe)
        assert [event["error"]["code"] for event in describe()] == ["dead-lettered"]

        (dead_letter,) = listed(run_cli, 1)
        assert (dead_letter["job"], dead_letter["status"], dead_letter["attempt"]) == (job, "scheduled", 0)
        ended = run_cli("dlq", "redrive", "--lane", "default", "--job", job)
        assert (ended.returncode, ended.stdout) == (0, "redriven 1\n"), ended.stderr
        assert listed(run_cli, 0) == []
        view = api.get(f"/v1/jobs/{job}").json()
        assert (view["status"], len(describe())) == ("scheduled", 1)
        assert api.post(f"/v1/jobs/{job}/cancel").json()["status"] == "canceled"


def test_what_the_deliverer_cannot_read_is_put_aside_in_its_own_lane(stack: Stack, run_cli: RunCli) -> None:
    put(stack, "this is no JSON", lane=WEBHOOKS)
    gone = DeliveryMessage(tenant=TENANT, of="job_x", made=1, delivery="dlv_x", endpoint="whe_x").model_dump_json()
    put(stack, gone, lane=WEBHOOKS, dead=True)
    found = {dead_letter["status"]: dead_letter for dead_letter in listed(run_cli, 2, WEBHOOKS)}
    assert (found["cannot be read"]["body"], found["cannot be read"]["job"]) == ("this is no JSON", None)
    assert (found["not there"]["delivery"], found["not there"]["job"]) == ("dlv_x", "job_x")
    ended = run_cli("dlq", "redrive", "--lane", WEBHOOKS, "--drop-unreadable")
    assert ended.stdout == "redriven 0, dropped 1 that cannot be read, dropped 1 whose row is not there\n"
    assert listed(run_cli, 0, WEBHOOKS) == []


def test_a_lane_that_is_not_there(run_cli: RunCli) -> None:
    ended = run_cli("dlq", "redrive", "--lane", "small")
    message = "coatcheck: unknown lane `small`; choose from default, heavy, webhooks\n"
    assert (ended.returncode, ended.stderr) == (2, message)
