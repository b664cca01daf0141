"""Webhook endpoints: who sees them, what changes them, and where their secrets are shown."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import signature
from coatcheck.core.aws.dynamodb import webhook_items as table
from coatcheck.core.aws.secrets_manager import get_secret
from coatcheck.core.settings import Settings
from coatcheck.core.webhooks import EVENTS, JOBS_ENDPOINT, WebhookEndpoint
from coatcheck_infra.local.resources import client
from coatcheck_service.actions.webhook_endpoints import DISABLED_BY_CLIENT
from tests.aws.service.lambda_process import InvokeFunction, body_of, event
from tests.aws.service.running_service import Api, clients_of, problem, run_service
from tests.transports import Fault, on, repeat, send_after, throttle

# both emulators keep items alike (tests/aws/test_webhook_items.py): what the API does with them is tried on one
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

ALL = "/v1/webhook-endpoints"
URL = "https://hooks.example.com/coatcheck"


def create(api: Api, **body: Any) -> dict[str, Any]:
    """An endpoint, with its secret."""
    answer = api.http.post(ALL, json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def shown(api: Api, endpoint_id: str) -> dict[str, Any]:
    """The endpoint as clients see it."""
    answer = api.http.get(f"{ALL}/{endpoint_id}")
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


def item(api: Api, endpoint_id: str) -> WebhookEndpoint:
    """The endpoint as the table has it."""
    found = api.running_service.worker.send(
        table.get_endpoint(api.running_service.settings.table, api.tenant, endpoint_id)
    )
    assert found is not None
    return found


def delivery_state(api: Api, endpoint_id: str, **how: Any) -> WebhookEndpoint:
    """What the deliverer writes of an endpoint."""
    changed = replace(item(api, endpoint_id), **how)
    written = api.running_service.worker.send(table.update_endpoint(api.running_service.settings.table, changed))
    assert written is not None
    return written


def derived(api: Api, endpoint_id: str, generation: int) -> str:
    """The secret that the deliverer signs with."""
    key = api.running_service.worker.send(get_secret(api.running_service.settings.webhook_key))
    return signature.derive_secret(key, api.tenant, endpoint_id, str(generation))


def test_a_new_endpoint_is_shown_with_its_secret(api: Api) -> None:
    answer = api.http.post(ALL, json={"url": URL, "events": ["job.failed", "job.started", "job.failed"]})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{api.url}{ALL}/{made['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert made == {
        "id": made["id"],
        "url": URL,
        "events": ["job.started", "job.failed"],
        "description": "",
        "enabled": True,
        "disabled_reason": None,
        "created_at": made["created_at"],
        "secret": derived(api, made["id"], 1),
    }
    assert made["id"].startswith("whe_")
    assert shown(api, made["id"]) == {name: value for name, value in made.items() if name != "secret"}


def test_by_default_an_endpoint_is_told_everything(api: Api) -> None:
    assert create(api)["events"] == list(EVENTS)


def test_a_secret_is_shown_once_and_kept_nowhere(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = create(api)
    rotated = api.http.post(f"{ALL}/{made['id']}/rotate-secret").json()
    looks = [
        api.http.get(ALL),
        api.http.get(f"{ALL}/{made['id']}"),
        api.http.patch(f"{ALL}/{made['id']}", json={"description": "mine"}),
        api.http.post(f"{ALL}/{made['id']}/test"),
        api.http.get(f"{ALL}/{made['id']}/deliveries"),
    ]
    assert [look.is_success for look in looks] == [True] * len(looks)
    dynamodb = client("dynamodb", api.running_service.endpoint_url)
    kept = repr(dynamodb.scan(TableName=api.running_service.settings.table)["Items"])
    logged = "".join(repr(vars(record)) + record.getMessage() for record in caplog.records)
    assert "coatcheck_service.http.middleware" in logged
    for secret in (made["secret"], rotated["secret"]):
        bare = secret.removeprefix("whsec_")
        assert all(bare not in text for text in (kept, logged, *(look.text for look in looks)))


def test_rotation_gives_the_next_secret(api: Api) -> None:
    made = create(api)
    answer = api.http.post(f"{ALL}/{made['id']}/rotate-secret")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == made | {"secret": derived(api, made["id"], 2)}
    kept = item(api, made["id"])
    assert kept.rotated_at is not None
    assert kept.generations(kept.rotated_at) == (2, 1)


def test_a_rotation_whose_reply_is_lost_is_one(api: Api) -> None:
    made = create(api)
    api.spy.faults.append(Fault(repeat, on("UpdateItem")))
    assert api.http.post(f"{ALL}/{made['id']}/rotate-secret").json()["secret"] == derived(api, made["id"], 2)
    assert item(api, made["id"]).generation == 2


def test_of_rotations_at_once_no_secret_is_lost_unseen(api: Api) -> None:
    made = create(api)

    def rotate(_: int) -> httpx.Response:
        return api.http.post(f"{ALL}/{made['id']}/rotate-secret")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(rotate, range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "changed-meanwhile")
    given = {answer.json()["secret"] for answer in answers if answer.status_code == 200}
    last = item(api, made["id"]).generation
    assert given == {derived(api, made["id"], generation) for generation in range(2, last + 1)}


def test_a_rotation_goes_on_when_the_deliverer_writes_in_between(api: Api) -> None:
    made = create(api)
    meanwhile = send_after(lambda: delivery_state(api, made["id"], failures=3))
    api.spy.faults.append(Fault(meanwhile, on("UpdateItem"), times=1))
    assert api.http.post(f"{ALL}/{made['id']}/rotate-secret").json()["secret"] == derived(api, made["id"], 2)
    assert (item(api, made["id"]).failures, item(api, made["id"]).generation) == (3, 2)


def test_endpoints_are_listed_the_oldest_first(api: Api) -> None:
    made = [create(api, description=str(n))["id"] for n in range(3)]
    api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret")
    listed = api.http.get(ALL).json()
    assert ([one["id"] for one in listed["data"]], listed["next"]) == (made, None)
    assert listed["data"] == [shown(api, endpoint_id) for endpoint_id in made]


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"url": "https://other.example.com/"}, {"url": "https://other.example.com/"}),
    ({"events": ["job.failed"]}, {"events": ["job.failed"]}),
    ({"description": "Fließband 4"}, {"description": "Fließband 4"}),
    ({"description": ""}, {"description": ""}),
    ({"enabled": False}, {"enabled": False, "disabled_reason": DISABLED_BY_CLIENT}),
    ({"enabled": True}, {}),
]


@pytest.mark.parametrize(("sent", "changed"), CHANGES)
def test_what_is_not_named_stays(api: Api, sent: dict[str, Any], changed: dict[str, Any]) -> None:
    before = shown(api, create(api, events=["job.started"], description="mine")["id"])
    answer = api.http.patch(f"{ALL}/{before['id']}", json=sent)
    assert answer.status_code == 200
    assert answer.json() == shown(api, before["id"]) == before | changed


FAILED: dict[str, Any] = {"failures": 9, "failing_since": 1, "resting_until": 2}


def test_to_enable_is_to_forget(api: Api) -> None:
    endpoint_id = create(api)["id"]
    delivery_state(api, endpoint_id, **FAILED, enabled=False, disabled_reason="answered 410 Gone")
    assert shown(api, endpoint_id)["disabled_reason"] == "answered 410 Gone"

    api.http.patch(f"{ALL}/{endpoint_id}", json={"enabled": False, "description": "still"})
    assert shown(api, endpoint_id)["disabled_reason"] == "answered 410 Gone"
    assert item(api, endpoint_id).failures == 9

    assert api.http.patch(f"{ALL}/{endpoint_id}", json={"enabled": True}).json()["disabled_reason"] is None
    healthy = item(api, endpoint_id)
    assert (healthy.enabled, healthy.failures, healthy.failing_since, healthy.resting_until) == (True, 0, None, None)


@pytest.mark.parametrize(("sent", "failures"), [({"url": "https://new.example.com/"}, 0), ({"url": URL}, 9)])
def test_another_url_has_not_failed_yet(api: Api, sent: dict[str, Any], failures: int) -> None:
    endpoint_id = create(api)["id"]
    delivery_state(api, endpoint_id, **FAILED)
    api.http.patch(f"{ALL}/{endpoint_id}", json=sent)
    assert item(api, endpoint_id).failures == failures


def test_changes_at_once_are_all_made(api: Api) -> None:
    endpoint_id = create(api)["id"]
    changes: list[dict[str, Any]] = [{"description": "mine"}, {"events": ["job.failed"]}, {"enabled": False}]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda change: api.http.patch(f"{ALL}/{endpoint_id}", json=change), changes))
    assert [answer.status_code for answer in answers] == [200] * 3
    after = shown(api, endpoint_id)
    assert {name: after[name] for change in changes for name in change} == changes[0] | changes[1] | changes[2]


def test_a_change_meets_what_the_deliverer_wrote_in_between(api: Api) -> None:
    endpoint_id = create(api)["id"]
    meanwhile = send_after(lambda: delivery_state(api, endpoint_id, enabled=False, disabled_reason="answered 410 Gone"))
    api.spy.faults.append(Fault(meanwhile, on("UpdateItem"), times=1))
    after = api.http.patch(f"{ALL}/{endpoint_id}", json={"description": "mine"}).json()
    assert (after["description"], after["enabled"], after["disabled_reason"]) == ("mine", False, "answered 410 Gone")


def test_a_change_whose_reply_is_lost_is_made(api: Api) -> None:
    endpoint_id = create(api)["id"]
    api.spy.faults.append(Fault(repeat, on("UpdateItem")))
    assert api.http.patch(f"{ALL}/{endpoint_id}", json={"description": "mine"}).json()["description"] == "mine"


def test_a_deleted_endpoint_is_gone(api: Api) -> None:
    endpoint_id = create(api)["id"]
    assert api.http.delete(f"{ALL}/{endpoint_id}").status_code == 204
    problem(api.http.delete(f"{ALL}/{endpoint_id}"), 404, "not-found")
    problem(api.http.get(f"{ALL}/{endpoint_id}"), 404, "not-found")
    assert api.http.get(ALL).json()["data"] == []


def test_without_the_key_nothing_is_made_and_it_is_read_once(
    emulator_url: str, settings: Settings, aws: Transport
) -> None:
    with run_service(settings, aws, emulator_url) as running_service, clients_of(running_service) as api:
        api.spy.faults.append(Fault(throttle, on("GetSecretValue")))
        for path in (ALL, f"{ALL}/{JOBS_ENDPOINT}/rotate-secret"):
            problem(api.http.post(path, json={"url": URL}), 503, "unavailable")
        assert api.spy.operations == ["GetSecretValue"] * 2
        api.spy.faults.clear()
        create(api)
        create(api)
        assert api.spy.operations.count("GetSecretValue") == 3


def test_a_lambda_function_does_the_same(api: Api, invoke: InvokeFunction) -> None:
    made, patched, kept = invoke(
        event(api, "POST", ALL, body={"url": URL}),
        event(api, "PATCH", f"{ALL}/{{endpoint_id}}", body={"enabled": False}, endpoint_id=create(api)["id"]),
        event(api, "POST", "/v1/jobs", body={"type": "demo.sleep", "input": {"seconds": 0}, "webhook": {"url": URL}}),
    )
    shown = json.loads(body_of(made))
    assert (made["statusCode"], shown["secret"]) == (201, derived(api, shown["id"], 1))
    assert made["headers"]["location"] == f"https://abc.execute-api.us-east-1.amazonaws.com/live{ALL}/{shown['id']}"
    assert (patched["statusCode"], json.loads(body_of(patched))["enabled"]) == (200, False)
    row = api.row(json.loads(body_of(kept))["id"])
    assert (row.notify, row.base_url) == (EVENTS, "https://abc.execute-api.us-east-1.amazonaws.com/live")
