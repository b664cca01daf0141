"""Deliveries: what is shown of them, and what is sent again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.aws.dynamodb import webhook_items as table
from coatcheck.core.clock import DAY, MINUTE, system_clock
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import FAIL, Status
from coatcheck.core.messages import DeliveryMessage
from coatcheck.core.webhooks import (
    JOBS_ENDPOINT,
    MAX_ATTEMPTS_KEPT,
    SCHEDULE,
    Delivery,
    DeliveryAttempt,
    DeliveryKey,
    DeliveryStatus,
    delivery_id,
    endpoint_id_for,
    event_id,
    pending_events,
)
from coatcheck_service.front_door import UVICORN
from tests.aws.service.running_service import Api, problem
from tests.aws.service.test_webhooks import ALL, create, item
from tests.log_lines import log_lines
from tests.transports import Fault, on, repeat, throttle

# both emulators keep items alike (tests/aws/test_webhook_items.py): what the API does with them is tried on one
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

URL = "https://hooks.example.com/job"


def delivered(api: Api, job: Job, url: str = URL, event: str = "job.succeeded", **more: Any) -> Delivery:
    """What a deliverer wrote of one event of a job."""
    endpoint, of_event = endpoint_id_for(api.tenant, url), event_id(job, event)
    key = DeliveryKey(api.tenant, job.id, job.created_at, delivery_id(of_event, endpoint))
    kept = job.created_at + 8 * DAY
    made = Delivery(key, of_event, event, endpoint, url, b"{}", created_at=job.created_at, keep_until=kept)
    assert api.running_service.worker.send(
        table.put_delivery(api.running_service.settings.table, replace(made, **more))
    )
    return stored_delivery(api, key)


def stored_delivery(api: Api, key: DeliveryKey) -> Delivery:
    """The delivery as the table has it."""
    found = api.running_service.worker.send(table.get_delivery(api.running_service.settings.table, key))
    assert found is not None
    return found


def message(delivery: Delivery) -> DeliveryMessage:
    """What wakes a deliverer."""
    key = delivery.key
    return DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint=delivery.endpoint)


class TestDeliveries:
    def test_a_job_without_any_has_none(self, api: Api) -> None:
        assert api.http.get(f"/v1/jobs/{api.submit()['id']}/deliveries").json() == {"data": [], "next": None}

    def test_what_is_told_of_one(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        attempts = (
            DeliveryAttempt(job.created_at + 1, 250, 503, response="try later"),
            DeliveryAttempt(job.created_at + 5001, 15_000, error="timeout: no answer in 15 s"),
        )
        made = delivered(api, job, attempts=attempts, tries=2, try_at=job.created_at + 300_000)
        (reply,) = api.http.get(f"/v1/jobs/{job.id}/deliveries").json()["data"]
        at = [reply["attempts"][0].pop("at"), reply["attempts"][1].pop("at"), reply.pop("next_attempt_at")]
        assert all(time.endswith("Z") for time in at)
        assert at == sorted(at)
        assert reply == {
            "id": made.key.id,
            "webhook_id": made.event_id,
            "endpoint": JOBS_ENDPOINT,
            "url": URL,
            "event": "job.succeeded",
            "status": "pending",
            "attempts": [
                {"status_code": 503, "error": None, "latency_ms": 250, "response": "try later"},
                {"status_code": None, "error": "timeout: no answer in 15 s", "latency_ms": 15_000, "response": None},
            ],
        }

    def test_a_page_is_no_larger_than_the_front_door_carries(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        # what JSON has to escape is six times as long there
        attempts = (DeliveryAttempt(job.created_at + 1, 250, 503, response="\x01" * 1024),) * MAX_ATTEMPTS_KEPT
        made = {delivered(api, job, f"https://hooks-{n}.example.com/", attempts=attempts).key.id for n in range(40)}
        seen, more, pages = list[str](), {"limit": "50"}, 0
        while more:
            answer = api.http.get(f"/v1/jobs/{job.id}/deliveries", params=more)
            assert len(answer.content) <= UVICORN.inline_limit + 1024
            page = answer.json()
            seen += [one["id"] for one in page["data"]]
            more, pages = {"limit": "50", "after": page["next"]} if page["next"] else {}, pages + 1
        assert (len(seen), set(seen)) == (len(made), made)
        assert pages > 1

    def test_an_endpoint_is_named_by_its_id(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        delivered(api, job, endpoint="whe_mine", status=DeliveryStatus.DELIVERED)
        (reply,) = api.http.get(f"/v1/jobs/{job.id}/deliveries").json()["data"]
        assert (reply["endpoint"], reply["status"], reply["next_attempt_at"]) == ("whe_mine", "delivered", None)

    def test_pages(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        made = {delivered(api, job, f"https://hooks-{n}.example.com/").key.id for n in range(5)}
        delivered(api, job, "https://late.example.com/", keep_until=job.created_at - DAY)
        path = f"/v1/jobs/{job.id}/deliveries"
        found: list[str] = []
        after: dict[str, str] = {}
        for _ in range(4):
            page = api.http.get(path, params={"limit": 2, **after}).json()
            found += [one["id"] for one in page["data"]]
            after = {"after": page["next"]}
            if page["next"] is None:
                break
        assert (set(found), len(found)) == (made, 5)
        for query in ("limit=0", "limit=51", "after=job_1", "after=", "order=asc"):
            problem(api.http.get(f"{path}?{query}"), 422, "invalid-request")

    def test_another_tenants_are_none(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        made = delivered(api, job, status=DeliveryStatus.FAILED)
        path = f"/v1/jobs/{job.id}/deliveries"
        problem(api.other.get(path), 404, "not-found")
        problem(api.other.post(f"{path}/{made.key.id}/resend"), 404, "not-found")
        problem(api.anonymous.get(path), 401, "unauthenticated")
        assert stored_delivery(api, made.key) == made

    def test_they_go_with_the_job(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        row = api.running_service.worker.send(
            job_updates.mark_notified(api.running_service.settings.table, job, remaining=())
        )
        assert isinstance(row, Job)
        delivered(api, job, status=DeliveryStatus.DELIVERED)
        assert api.http.delete(f"/v1/jobs/{job.id}").status_code == 204
        assert (
            api.running_service.worker.send(
                job_items.list_job_items(api.running_service.settings.table, api.row(job.id))
            )
            == []
        )
        problem(api.http.get(f"/v1/jobs/{job.id}/deliveries"), 410, "gone")

    def test_a_purged_job_is_told_of_to_nobody(self, api: Api) -> None:
        job = api.finished(webhook={"url": URL})
        assert pending_events(job) == ("job.succeeded",)
        api.http.delete(f"/v1/jobs/{job.id}")
        assert pending_events(api.row(job.id)) == ()


class TestResend:
    @pytest.fixture
    def job(self, api: Api) -> Job:
        """A job that has ended, of which somebody is told."""
        job = api.settle(api.claim(api.submit(webhook={"url": URL})["id"]), FAIL)
        assert job.status is Status.FAILED
        return job

    @staticmethod
    def resend(api: Api, made: Delivery) -> dict[str, Any]:
        """Send it again; the delivery as it is shown then."""
        answer = api.http.post(f"/v1/jobs/{made.key.of}/deliveries/{made.key.id}/resend")
        assert answer.status_code == 202, answer.text
        reply: dict[str, Any] = answer.json()
        return reply

    @pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED])
    def test_what_has_ended_begins_anew(self, api: Api, job: Job, status: DeliveryStatus) -> None:
        attempts = (DeliveryAttempt(job.created_at, 9, 500),) * 10
        made = delivered(api, job, status=status, tries=10, attempts=attempts, body=b'{"frozen":true}')
        reply = self.resend(api, made)
        assert (reply["status"], reply["webhook_id"], len(reply["attempts"])) == ("pending", made.event_id, 10)
        now = stored_delivery(api, made.key)
        assert now.try_at is not None
        assert abs(now.try_at - system_clock()) < MINUTE
        assert now.due_at is not None
        assert (now.tries, now.trying_since, now.attempts, now.body) == (0, None, attempts, b'{"frozen":true}')
        assert api.delivery_messages() == [message(made)]

    @pytest.mark.parametrize("days", [1, 99])
    def test_it_is_kept_until_the_new_schedule_is_over(self, api: Api, job: Job, days: int) -> None:
        kept = system_clock() + days * DAY
        made = delivered(api, job, status=DeliveryStatus.FAILED, tries=10, keep_until=kept)
        self.resend(api, made)
        # the TTL that DynamoDB deletes it by
        assert stored_delivery(api, made.key).keep_until >= max(
            made.keep_until, system_clock() + sum(SCHEDULE) + 10 * DAY
        )

    def test_what_waits_waits_no_longer(self, api: Api, job: Job) -> None:
        made = delivered(api, job, tries=8, try_at=system_clock() + DAY)
        with log_lines() as lines:
            self.resend(api, made)
            # it is on its way now, so nothing changes
            self.resend(api, made)
        assert [one["action"] for one in lines.audit(target=made.key.id, job=job.id)] == ["delivery.resent"]
        now = stored_delivery(api, made.key)
        assert now.try_at is not None
        assert (now.tries, now.try_at <= system_clock()) == (0, True)
        assert api.delivery_messages() == [message(made)]

    @pytest.mark.parametrize("how", [{}, {"try_at": 1}, {"trying_since": 1, "tries": 3, "try_at": 10**13}])
    def test_what_is_on_its_way_is_left_alone(self, api: Api, job: Job, how: dict[str, Any]) -> None:
        made = delivered(api, job, **how)
        assert self.resend(api, made)["id"] == made.key.id
        assert stored_delivery(api, made.key) == made
        assert api.delivery_messages() == []

    def test_twice_is_once(self, api: Api, job: Job) -> None:
        made = delivered(api, job, status=DeliveryStatus.FAILED, tries=10)
        first, second = self.resend(api, made), self.resend(api, made)
        assert first == second
        assert len(api.delivery_messages()) == 1

    def test_a_reply_that_is_lost_makes_no_difference(self, api: Api, job: Job) -> None:
        made = delivered(api, job, status=DeliveryStatus.FAILED, tries=10)
        api.spy.faults.append(Fault(repeat, on("UpdateItem")))
        assert self.resend(api, made)["status"] == "pending"
        assert stored_delivery(api, made.key).tries == 0

    def test_a_message_that_is_lost_is_left_to_the_sweeper(self, api: Api, job: Job) -> None:
        made = delivered(api, job, status=DeliveryStatus.FAILED, tries=10)
        api.spy.faults.append(Fault(throttle, on("SendMessage")))
        self.resend(api, made)
        due_at = stored_delivery(api, made.key).due_at
        assert due_at is not None
        assert due_at <= system_clock() + 2 * MINUTE

    @pytest.mark.parametrize("which", ["dlv_none", "evt_1", "x", "dlv_" + "x" * 100])
    def test_what_is_no_delivery_is_not_found(self, api: Api, job: Job, which: str) -> None:
        problem(api.http.post(f"/v1/jobs/{job.id}/deliveries/{which}/resend"), 404, "not-found")

    def test_one_that_is_no_longer_kept_is_not_found(self, api: Api, job: Job) -> None:
        made = delivered(api, job, status=DeliveryStatus.FAILED, keep_until=job.created_at - DAY)
        problem(api.http.post(f"/v1/jobs/{job.id}/deliveries/{made.key.id}/resend"), 404, "not-found")


class TestTrying:
    """The event that says nothing."""

    def test_it_goes_the_way_of_all(self, api: Api) -> None:
        endpoint_id = create(api)["id"]
        answer = api.http.post(f"{ALL}/{endpoint_id}/test")
        reply = answer.json()
        assert answer.status_code == 202
        assert (reply["event"], reply["endpoint"], reply["status"]) == ("webhook.test", endpoint_id, "pending")
        endpoint = item(api, endpoint_id)
        made = stored_delivery(api, DeliveryKey(api.tenant, endpoint_id, endpoint.created_at, reply["id"]))
        assert made.body.startswith(b'{"type":"webhook.test","timestamp":"')
        assert made.body.endswith(b'Z","data":{"endpoint":"%s"}}' % endpoint_id.encode())
        assert api.delivery_messages() == [message(made)]
        assert api.http.get(f"{ALL}/{endpoint_id}/deliveries").json() == {"data": [reply], "next": None}

        path = f"{ALL}/{endpoint_id}/deliveries/{reply['id']}/resend"
        assert api.http.post(path).json() == reply
        ended = replace(made, status=DeliveryStatus.FAILED, tries=10)
        api.running_service.worker.send(table.update_delivery(api.running_service.settings.table, ended))
        assert api.http.post(path).json()["status"] == "pending"
        assert api.delivery_messages() == [message(made)]

    def test_each_is_an_event_of_its_own(self, api: Api) -> None:
        endpoint_id = create(api)["id"]
        reply = [api.http.post(f"{ALL}/{endpoint_id}/test").json() for _ in range(3)]
        assert len({one["webhook_id"] for one in reply}) == len({one["id"] for one in reply}) == 3
        listed = api.http.get(f"{ALL}/{endpoint_id}/deliveries").json()["data"]
        assert {one["id"] for one in listed} == {one["id"] for one in reply}
