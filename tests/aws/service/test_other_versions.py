"""The API beside a newer version: what that one added is kept, what only it knows is answered with 503, never 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.ids import job_id_for_key
from coatcheck.core.pack import pack, to_json, unpack
from coatcheck.core.webhooks import EVENTS
from tests.aws.service.running_service import Api, problem
from tests.aws.service.test_webhooks import ALL, create
from tests.released_items import ADDED, VERSIONS, RawItems

# what two emulators make of the items is seen in tests/aws/worker/test_other_versions.py
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

KEY = {"Idempotency-Key": "theirs"}
NEWER: dict[str, Item] = {"schema": {"schema": {"N": "2"}}, "status": {"status": {"S": "paused"}}}


@pytest.fixture
def raw_items(api: Api) -> RawItems:
    """The table."""
    return RawItems(api.running_service.endpoint_url, api.running_service.settings.table, api.tenant)


def _id(item: Item) -> str:
    return str(item["pk"]["S"].split("#")[1])


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_job_that_only_newer_versions_know(api: Api, raw_items: RawItems, change: Item) -> None:
    item = raw_items.put(
        VERSIONS[-1], "job-succeeded", pk={"S": f"{api.tenant}#{job_id_for_key(api.tenant, 'theirs')}"}, **change
    )
    path = f"/v1/jobs/{_id(item)}"
    asked = [("GET", ""), ("GET", "/result"), ("GET", "/events"), ("GET", "/deliveries"), ("DELETE", "")]
    asked += [("POST", "/cancel"), ("POST", "/replay"), ("POST", "/deliveries/dlv_recorded/resend")]
    for method, below in asked:
        problem(api.http.request(method, f"{path}{below}"), 503, "unavailable")
    problem(api.post(KEY), 503, "unavailable")
    assert api.http.get("/v1/jobs").json()["data"] == []
    assert raw_items.get(item) == item


def test_what_a_newer_version_added_to_jobs_is_kept(api: Api, raw_items: RawItems) -> None:
    waiting, running, ended = (
        raw_items.put(VERSIONS[-1], f"job-{status}", **ADDED) for status in ("queued", "running", "succeeded")
    )
    listed = {job["id"] for job in api.http.get("/v1/jobs").json()["data"]}
    assert listed == {_id(item) for item in (waiting, running, ended)}
    assert api.http.post(f"/v1/jobs/{_id(waiting)}/cancel").json()["status"] == "canceled"
    assert api.http.post(f"/v1/jobs/{_id(running)}/cancel").json()["status"] == "canceling"
    assert api.http.get(f"/v1/jobs/{_id(ended)}/result").json() == {"n": 2}
    assert api.http.delete(f"/v1/jobs/{_id(ended)}").status_code == 204
    for item in (waiting, running, ended):
        assert raw_items.get(item)["zz_added"] == ADDED["zz_added"]


def test_what_a_newer_version_added_to_endpoints_and_deliveries_is_kept(api: Api, raw_items: RawItems) -> None:
    made = create(api)
    key = {"pk": {"S": f"{api.tenant}#webhooks"}, "sk": {"S": made["id"]}}
    settings = _opened(raw_items.get(key)["settings"]) | {"retry_policy": {"most": 3}}
    raw_items.add(key, settings={"B": pack(to_json(settings))}, **ADDED)
    assert api.http.patch(f"{ALL}/{made['id']}", json={"description": "mine"}).json()["description"] == "mine"
    assert api.http.post(f"{ALL}/{made['id']}/rotate-secret").status_code == 200
    after = raw_items.get(key)
    assert after["zz_added"] == ADDED["zz_added"]
    assert _opened(after["settings"])["retry_policy"] == {"most": 3}

    job = raw_items.put(VERSIONS[-1], "job-succeeded")
    delivery = raw_items.put(VERSIONS[-1], "delivery", status={"S": "failed"}, **ADDED)
    assert api.http.post(f"/v1/jobs/{_id(job)}/deliveries/dlv_recorded/resend").status_code == 202
    assert raw_items.get(delivery)["zz_added"] == ADDED["zz_added"]


def test_endpoints_and_deliveries_that_only_newer_versions_know(api: Api, raw_items: RawItems) -> None:
    job, delivery = (
        raw_items.put(VERSIONS[-1], "job-succeeded"),
        raw_items.put(VERSIONS[-1], "delivery", **NEWER["status"]),
    )
    path = f"/v1/jobs/{_id(job)}/deliveries"
    assert api.http.get(path).json()["data"] == []
    problem(api.http.post(f"{path}/dlv_recorded/resend"), 503, "unavailable")
    assert raw_items.get(delivery) == delivery

    made = create(api, events=["job.failed"])
    key = {"pk": {"S": f"{api.tenant}#webhooks"}, "sk": {"S": made["id"]}}
    item = raw_items.add(key, **NEWER["schema"])
    for method, body in (("GET", None), ("PATCH", {"description": "mine"})):
        problem(api.http.request(method, f"{ALL}/{made['id']}", json=body), 503, "unavailable")
    problem(api.http.get(ALL), 503, "unavailable")
    assert raw_items.get(item) == item
    # who wants what is not known, so all is kept to be told
    assert api.row(api.submit()["id"]).notify == EVENTS


def _opened(attribute: Any) -> Any:
    return json.loads(unpack(bytes(attribute["B"])))
