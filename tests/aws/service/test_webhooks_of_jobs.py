"""Whom a job is to tell of what: notes in its row, and wake-ups."""

from __future__ import annotations

import httpx
import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.clock import MINUTE
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import Settings
from coatcheck.core.webhooks import EVENTS, JOBS_ENDPOINT, STARTED, pending_events, sorted_events
from coatcheck_service.subscription_cache import TTL
from tests.aws.service.running_service import Api, clients_of, problem, run_service
from tests.aws.service.test_webhooks import ALL, create
from tests.transports import Fault, on, throttle

# both emulators keep items alike (tests/aws/test_webhook_items.py): what the API does with them is tried on one
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

URL = "https://hooks.example.com/job"
ENDS = [event for event in EVENTS if event != STARTED]


class TestSubmit:
    def test_nobody_is_told_by_default(self, api: Api) -> None:
        row = api.row(api.submit()["id"])
        assert (row.webhook, row.notify, row.base_url) == (None, (), None)

    def test_a_job_brings_its_own_webhook(self, api: Api) -> None:
        view = api.submit(webhook={"url": URL})
        row = api.row(view["id"])
        assert row.webhook == {"url": URL, "events": ENDS}
        assert (row.notify, row.base_url) == (tuple(ENDS), api.url)
        assert "webhook" not in view

    def test_its_events_are_those_it_names(self, api: Api) -> None:
        row = api.row(api.submit(webhook={"url": URL, "events": ["job.failed", "job.started", "job.failed"]})["id"])
        assert row.webhook == {"url": URL, "events": ["job.started", "job.failed"]}
        assert row.notify == ("job.started", "job.failed")

    def test_endpoints_hear_of_what_they_asked_for(self, api: Api) -> None:
        create(api, events=["job.failed"])
        create(api, events=["job.started"], enabled=False)
        assert api.row(api.submit()["id"]).notify == ("job.failed",)
        row = api.row(api.submit(webhook={"url": URL, "events": ["job.expired"]})["id"])
        assert row.notify == sorted_events(["job.failed", "job.expired"])

    def test_what_this_process_changes_counts_at_once(self, api: Api) -> None:
        def notified() -> tuple[str, ...]:
            return api.row(api.submit()["id"]).notify

        assert notified() == ()
        path = f"{ALL}/{create(api, events=['job.failed'])['id']}"
        assert notified() == ("job.failed",)
        api.http.patch(path, json={"events": ["job.expired"]})
        assert notified() == ("job.expired",)
        api.http.patch(path, json={"enabled": False})
        assert notified() == ()
        api.http.patch(path, json={"enabled": True})
        assert notified() == ("job.expired",)
        api.http.delete(path)
        assert notified() == ()

    def test_the_endpoint_of_the_urls_of_jobs_hears_nothing(self, api: Api) -> None:
        api.http.post(f"{ALL}/{JOBS_ENDPOINT}/rotate-secret")
        assert api.row(api.submit()["id"]).notify == ()

    def test_another_tenants_endpoints_hear_nothing(self, api: Api) -> None:
        assert api.other.post(ALL, json={"url": URL}).status_code == 201
        assert api.row(api.submit()["id"]).notify == ()

    def test_a_store_that_does_not_say_who_listens_is_503(self, api: Api) -> None:
        api.spy.faults.append(Fault(throttle, on("Query")))
        problem(api.post(), 503, "unavailable")
        assert api.spy.operations == ["GetItem", "Query"]

    def test_the_webhook_is_part_of_the_request_of_a_key(self, api: Api) -> None:
        key = {"Idempotency-Key": "once"}
        first = api.post(key, webhook={"url": URL})
        assert api.post(key, webhook={"url": URL}).json()["id"] == first.json()["id"]
        problem(api.post(key, webhook={"url": f"{URL}/other"}), 422, "idempotency-key-reused")
        problem(api.post(key), 422, "idempotency-key-reused")

    def test_a_host_that_no_link_can_begin_with_is_refused(self, api: Api) -> None:
        host = ".".join(["x" * 50] * 30)
        reply = problem(api.post({"Host": host}, webhook={"url": URL}), 422, "invalid-request")
        assert "Host" in reply["detail"]
        assert api.post({"Host": host}).status_code == 202

    def test_a_replay_tells_whom_the_job_told(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL, "events": ["job.failed"]})
        create(api, events=["job.canceled"])
        replayed = api.row(api.http.post(f"/v1/jobs/{job.id}/replay").json()["id"])
        assert replayed.webhook == job.webhook
        assert replayed.notify == sorted_events(["job.failed", "job.canceled"])

    def test_a_row_with_a_webhook_is_less_than_a_kilobyte(self, api: Api) -> None:
        create(api)
        api.submit(webhook={"url": "https://hooks.example.com/services/T02J4KQ8C/B5V1M9D3S/7N6P0R4T0" + "x" * 100})
        row = next(call.params["Item"] for call in api.spy.calls if "due_shard" in call.params.get("Item", {}))
        assert sum(len(name) + len(repr(value)) for name, value in row.items()) < 1500


def test_an_endpoint_of_another_process_counts_ten_seconds_later(
    emulator_url: str, settings: Settings, aws: Transport
) -> None:
    ahead = [0]
    with (
        run_service(settings, aws, emulator_url, clock=lambda: 1_800_000_000_000 + ahead[0]) as running_service,
        clients_of(running_service) as api,
        run_service(settings, aws, emulator_url) as elsewhere,
    ):
        elsewhere.settings.api_keys.update(running_service.settings.api_keys)
        assert api.row(api.submit()["id"]).notify == ()
        with httpx.Client(base_url=elsewhere.url, headers=api.http.headers, trust_env=False) as http:
            assert http.post(ALL, json={"url": URL, "events": ["job.failed"]}).status_code == 201
        ahead[0] = TTL - 1
        assert api.row(api.submit()["id"]).notify == ()
        ahead[0] = TTL
        assert api.row(api.submit()["id"]).notify == ("job.failed",)
        reads = api.spy.operations.count("Query")
        # a clock that is put back must not keep what is known for ever
        ahead[0] -= MINUTE
        api.submit()
        assert api.spy.operations.count("Query") == reads + 1


class TestCancel:
    def test_the_end_of_a_job_that_waits_wakes_a_deliverer(self, api: Api) -> None:
        job_id = api.submit(webhook={"url": URL})["id"]
        assert api.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
        assert api.messages("webhooks") == [JobMessage(tenant=api.tenant, job=job_id)]
        row = api.row(job_id)
        assert pending_events(row) == ("job.canceled",)
        assert row.due_at is not None

    def test_nobody_is_woken_whom_it_does_not_concern(self, api: Api) -> None:
        for webhook in (None, {"url": URL, "events": ["job.failed"]}):
            api.http.post(f"/v1/jobs/{api.submit(webhook=webhook)['id']}/cancel")
        assert api.messages("webhooks") == []

    def test_a_wake_up_that_is_lost_is_left_to_the_sweeper(self, api: Api) -> None:
        job_id = api.submit(webhook={"url": URL})["id"]
        api.spy.faults.append(Fault(throttle, on("SendMessage")))
        assert api.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
        row = api.row(job_id)
        assert row.due_at is not None
        assert row.due_at <= row.updated_at + 2 * MINUTE

    def test_a_job_that_runs_is_told_of_by_its_worker(self, api: Api) -> None:
        job = api.claim(api.submit(webhook={"url": URL})["id"])
        assert api.http.post(f"/v1/jobs/{job.id}/cancel").status_code == 202
        assert api.messages("webhooks") == []
