"""Events that somebody is told of: from the write that ends a job to its deliveries, on real stores."""

from __future__ import annotations

import json

import pytest

from coatcheck.core.aws.dynamodb import job_updates, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.transitions import TransitionRefused
from coatcheck.core.clock import MINUTE, SECOND, rfc3339
from coatcheck.core.job import Job
from coatcheck.core.messages import JobMessage
from coatcheck.core.webhooks import EVENTS, event_id
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from tests.aws.worker.delivery_harness import BASE_URL, DeliveryHarness
from tests.aws.worker.worker_harness import double
from tests.transports import Fault, FaultyTransport, on, throttle


class TestAnnouncing:
    def test_a_job_that_ends_wakes_the_deliverer_and_nobody_it_does_not_concern(
        self, delivery_harness: DeliveryHarness
    ) -> None:
        notified, unannounced = delivery_harness.ended(), delivery_harness.ended(notify=())
        assert delivery_harness.messages() == [JobMessage(tenant=notified.tenant, job=notified.id).model_dump_json()]
        assert notified.due_at is not None
        assert unannounced.due_at is None

    def test_an_event_goes_to_whom_it_concerns_once(self, delivery_harness: DeliveryHarness) -> None:
        one, two = (
            delivery_harness.endpoint("http://127.0.0.1:1/a"),
            delivery_harness.endpoint("http://127.0.0.1:1/b", ["job.succeeded"]),
        )
        delivery_harness.endpoint("http://127.0.0.1:1/c", ["job.failed"])
        delivery_harness.endpoint("http://127.0.0.1:1/d", enabled=False)
        job = delivery_harness.ended()
        delivery_harness.endpoint("http://127.0.0.1:1/late", created_at=job.created_at + 1)
        made = delivery_harness.announced(job)
        assert {delivery.endpoint for delivery in made} == {one.id, two.id}
        assert {delivery.event_id for delivery in made} == {event_id(job, "job.succeeded")}
        assert delivery_harness.announced(job) == made
        row = delivery_harness.harness.row(job)
        assert (row.notify, row.due_at, row.version) == ((), None, job.version)

    def test_the_body_is_the_job_as_it_was_at_the_event(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://127.0.0.1:1/")
        job = delivery_harness.ended(metadata={"order": "ü"})
        (delivery,) = delivery_harness.announced(job)
        notified = json.loads(delivery.body)
        assert list(notified) == ["type", "timestamp", "data"]
        assert (notified["type"], notified["timestamp"]) == ("job.succeeded", rfc3339(job.finished_at or 0))
        assert notified["data"]["version"] == job.version
        assert notified["data"]["metadata"] == {"order": "ü"}
        assert notified["data"]["urls"]["result"] == f"{BASE_URL}/v1/jobs/{job.id}/result"

    def test_a_start_is_told_of_while_the_job_runs_and_once(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://127.0.0.1:1/", EVENTS)
        starts: list[bytes] = []

        def handler(value: object, _: object) -> object:
            (message,) = delivery_harness.messages()
            job = JobMessage.parse(message)
            create_deliveries(delivery_harness.dependencies, job)
            starts.extend(one.body for one in delivery_harness.deliveries(started))
            return value

        started = delivery_harness.job(EVENTS)
        delivery_harness.harness.run(delivery_harness.harness.dependencies(handler), started)
        (start,) = starts
        assert json.loads(start)["data"]["status"] == "running"
        assert [one.event for one in delivery_harness.announced(started)] == ["job.started", "job.succeeded"]
        assert delivery_harness.harness.row(started).notify == ()

    def test_a_start_told_late_is_as_it_was_told_in_time(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://127.0.0.1:1/", ["job.started"])

        def handler(value: object, _: object) -> object:
            seen.append(delivery_harness.harness.row(job))
            return value

        seen: list[Job] = []
        job = delivery_harness.job(["job.started"])
        delivery_harness.harness.run(delivery_harness.harness.dependencies(handler), job)
        (delivery,) = delivery_harness.announced(job)
        data, (then,) = json.loads(delivery.body)["data"], seen
        assert (data["version"], data["status"], data["updated_at"]) == (
            then.version,
            "running",
            rfc3339(then.updated_at),
        )
        assert (data["finished_at"], data["result"], data["expires_at"], data["progress"]) == (None,) * 4

    def test_a_start_that_nobody_was_woken_for_is_found_by_the_row(self, delivery_harness: DeliveryHarness) -> None:
        """The message after the claim was lost, and the end of the job is of no interest to anybody."""
        delivery_harness.endpoint("http://127.0.0.1:1/", ["job.started"])
        lost = FaultyTransport(delivery_harness.harness.transport, Fault(throttle, on("SendMessage")))
        job = delivery_harness.job(["job.started"])
        delivery_harness.harness.run(delivery_harness.harness.dependencies(double, lost), job)
        delivery_harness.harness.clock.ahead = 2 * MINUTE
        assert delivery_harness.harness.sweep(delivery_harness.dependencies) == {"announced": 1}
        assert len(delivery_harness.messages()) == 1

    def test_what_was_told_of_meanwhile_is_not_put_off(self, delivery_harness: DeliveryHarness) -> None:
        """The deliverer was faster than the sweeper that had woken it."""
        delivery_harness.endpoint("http://127.0.0.1:1/")
        row = delivery_harness.ended()
        delivery_harness.announced(row)
        table = delivery_harness.harness.settings.table
        noted = delivery_harness.harness.transport.send(
            job_updates.postpone(table, row, due_at=delivery_harness.harness.clock(), dispatches=1)
        )
        assert isinstance(noted, TransitionRefused)
        assert delivery_harness.harness.row(row).due_at is None

    def test_a_job_is_told_of_though_its_retention_is_over(self, delivery_harness: DeliveryHarness) -> None:
        """A retention of a minute, and a deliverer that stood still for longer."""
        delivery_harness.endpoint("http://127.0.0.1:1/")
        job = delivery_harness.ended(retention=MINUTE)
        delivery_harness.messages()
        delivery_harness.harness.clock.ahead = 3 * MINUTE
        assert delivery_harness.harness.sweep(delivery_harness.dependencies) == {"announced": 1}
        (delivery,) = delivery_harness.announced(job)
        assert delivery.event == "job.succeeded"

    def test_a_wake_up_that_is_lost_is_made_good_ever_less_often(self, delivery_harness: DeliveryHarness) -> None:
        lost = FaultyTransport(delivery_harness.harness.transport, Fault(throttle, on("SendMessage")))
        job = delivery_harness.job()
        delivery_harness.harness.run(delivery_harness.harness.dependencies(double, lost), job)
        woken = []
        for minutes in range(1, 60):
            delivery_harness.harness.clock.ahead = minutes * MINUTE
            if delivery_harness.harness.sweep(delivery_harness.dependencies) == {"announced": 1}:
                woken.append(minutes)
        assert woken[0] <= 2
        assert 4 <= len(woken) <= 6
        delivery_harness.announced(job)
        assert delivery_harness.harness.row(job).due_at is None

    @pytest.mark.parametrize("end", ["expired", "canceled", "given up"])
    def test_the_sweeper_tells_of_what_it_ends(self, delivery_harness: DeliveryHarness, end: str) -> None:
        harness, table = delivery_harness.harness, delivery_harness.harness.settings.table
        if end == "expired":
            job = delivery_harness.job(queue_deadline=harness.clock() + SECOND)
        else:
            job = delivery_harness.job(max_attempts=1)
            claimed = harness.transport.send(
                transitions.claim(table, JobKey(job.tenant, job.id), now=harness.clock(), lease=SECOND, owner="dead")
            )
            assert isinstance(claimed, Job)
            if end == "canceled":
                harness.transport.send(transitions.request_cancel(table, claimed, now=harness.clock()))
        harness.clock.ahead = 3 * MINUTE
        assert harness.sweep(delivery_harness.dependencies) == {end: 1}
        assert delivery_harness.messages() == [JobMessage(tenant=job.tenant, job=job.id).model_dump_json()]

    def test_what_was_noted_before_is_told_no_more_and_bytes_are_still_removed(
        self, delivery_harness: DeliveryHarness
    ) -> None:
        """The row was settled by one who had read it before its start was told of."""
        delivery_harness.endpoint("http://127.0.0.1:1/", ["job.started"])

        def handler(value: object, _: object) -> object:
            create_deliveries(delivery_harness.dependencies, JobMessage(tenant=job.tenant, job=job.id))
            return value

        job = delivery_harness.job(["job.started"], value={"n": 1, "padding": "x" * 2000})
        delivery_harness.harness.run(delivery_harness.harness.dependencies(handler), job)
        delivery_harness.messages()
        delivery_harness.harness.clock.ahead = 2 * MINUTE
        delivery_harness.harness.sweep(delivery_harness.dependencies)
        row = delivery_harness.harness.row(job)
        assert row.expires_at is not None
        assert row.due_at is not None
        assert row.due_at >= row.expires_at
        assert JobMessage(tenant=job.tenant, job=job.id).model_dump_json() not in delivery_harness.messages()
