"""Events that somebody is told of: from the write that ends a job to its deliveries, on real stores."""

from __future__ import annotations

import json

import pytest

from coatcheck.clock import MINUTE, SECOND, rfc3339
from coatcheck.messages import JobMessage
from coatcheck.record import Job
from coatcheck.table import moves, notes
from coatcheck.table.keys import JobKey
from coatcheck.table.moves import Refused
from coatcheck.webhooks import (
    EVENTS,
    event_id,
)
from tests.aws.worker.doors import Refusing
from tests.aws.worker.office import BASE_URL, Office
from tests.aws.worker.world import double
from worker.webhooks.announce import announce


class TestAnnouncing:
    def test_a_job_that_ends_wakes_the_deliverer_and_nobody_it_does_not_concern(self, office: Office) -> None:
        told, untold = office.ended(), office.ended(notify=())
        assert office.messages() == [JobMessage(tenant=told.tenant, job=told.id).model_dump_json()]
        assert told.due_at is not None
        assert untold.due_at is None

    def test_an_event_goes_to_whom_it_concerns_once(self, office: Office) -> None:
        one, two = office.endpoint("http://127.0.0.1:1/a"), office.endpoint("http://127.0.0.1:1/b", ["job.succeeded"])
        office.endpoint("http://127.0.0.1:1/c", ["job.failed"])
        office.endpoint("http://127.0.0.1:1/d", enabled=False)
        job = office.ended()
        office.endpoint("http://127.0.0.1:1/late", created_at=job.created_at + 1)
        made = office.announced(job)
        assert {delivery.endpoint for delivery in made} == {one.id, two.id}
        assert {delivery.event_id for delivery in made} == {event_id(job, "job.succeeded")}
        assert office.announced(job) == made
        row = office.world.row(job)
        assert (row.notify, row.due_at, row.version) == ((), None, job.version)

    def test_the_body_is_the_job_as_it_was_at_the_event(self, office: Office) -> None:
        office.endpoint("http://127.0.0.1:1/")
        job = office.ended(metadata={"order": "ü"})
        (delivery,) = office.announced(job)
        told = json.loads(delivery.body)
        assert list(told) == ["type", "timestamp", "data"]
        assert (told["type"], told["timestamp"]) == ("job.succeeded", rfc3339(job.finished_at or 0))
        assert told["data"]["version"] == job.version
        assert told["data"]["metadata"] == {"order": "ü"}
        assert told["data"]["urls"]["result"] == f"{BASE_URL}/v1/jobs/{job.id}/result"

    def test_a_start_is_told_of_while_the_job_runs_and_once(self, office: Office) -> None:
        office.endpoint("http://127.0.0.1:1/", EVENTS)
        starts: list[bytes] = []

        def handler(value: object, _: object) -> object:
            (message,) = office.messages()
            job = JobMessage.parse(message)
            announce(office.tools, job)
            starts.extend(one.body for one in office.deliveries(started))
            return value

        started = office.job(EVENTS)
        office.world.run(office.world.tools(handler), started)
        (start,) = starts
        assert json.loads(start)["data"]["status"] == "running"
        assert [one.event for one in office.announced(started)] == ["job.started", "job.succeeded"]
        assert office.world.row(started).notify == ()

    def test_a_start_told_late_is_as_it_was_told_in_time(self, office: Office) -> None:
        office.endpoint("http://127.0.0.1:1/", ["job.started"])

        def handler(value: object, _: object) -> object:
            seen.append(office.world.row(job))
            return value

        seen: list[Job] = []
        job = office.job(["job.started"])
        office.world.run(office.world.tools(handler), job)
        (delivery,) = office.announced(job)
        data, (then,) = json.loads(delivery.body)["data"], seen
        assert (data["version"], data["status"], data["updated_at"]) == (
            then.version,
            "running",
            rfc3339(then.updated_at),
        )
        assert (data["finished_at"], data["result"], data["expires_at"], data["progress"]) == (None,) * 4

    def test_a_start_that_nobody_was_woken_for_is_found_by_the_row(self, office: Office) -> None:
        """The message after the claim was lost, and the end of the job is of no interest to anybody."""
        office.endpoint("http://127.0.0.1:1/", ["job.started"])
        lost = Refusing(office.world.door, lambda call: call.operation == "SendMessage")
        job = office.job(["job.started"])
        office.world.run(office.world.tools(double, lost), job)
        office.world.clock.ahead = 2 * MINUTE
        assert office.world.sweep(office.tools) == {"announced": 1}
        assert len(office.messages()) == 1

    def test_what_was_told_of_meanwhile_is_not_put_off(self, office: Office) -> None:
        """The deliverer was faster than the sweeper that had woken it."""
        office.endpoint("http://127.0.0.1:1/")
        row = office.ended()
        office.announced(row)
        table = office.world.deployment.table
        noted = office.world.door.send(notes.postpone(table, row, due_at=office.world.clock(), dispatches=1))
        assert isinstance(noted, Refused)
        assert office.world.row(row).due_at is None

    def test_a_job_is_told_of_though_its_retention_is_over(self, office: Office) -> None:
        """A retention of a minute, and a deliverer that stood still for longer."""
        office.endpoint("http://127.0.0.1:1/")
        job = office.ended(retention=MINUTE)
        office.messages()
        office.world.clock.ahead = 3 * MINUTE
        assert office.world.sweep(office.tools) == {"announced": 1}
        (delivery,) = office.announced(job)
        assert delivery.event == "job.succeeded"

    def test_a_wake_up_that_is_lost_is_made_good_ever_less_often(self, office: Office) -> None:
        lost = Refusing(office.world.door, lambda call: call.operation == "SendMessage")
        job = office.job()
        office.world.run(office.world.tools(double, lost), job)
        woken = []
        for minutes in range(1, 60):
            office.world.clock.ahead = minutes * MINUTE
            if office.world.sweep(office.tools) == {"announced": 1}:
                woken.append(minutes)
        assert woken[0] <= 2
        assert 4 <= len(woken) <= 6
        office.announced(job)
        assert office.world.row(job).due_at is None

    @pytest.mark.parametrize("end", ["expired", "canceled", "given up"])
    def test_the_sweeper_tells_of_what_it_ends(self, office: Office, end: str) -> None:
        world, table = office.world, office.world.deployment.table
        if end == "expired":
            job = office.job(queue_deadline=world.clock() + SECOND)
        else:
            job = office.job(max_attempts=1)
            claimed = world.door.send(
                moves.claim(table, JobKey(job.tenant, job.id), now=world.clock(), lease=SECOND, owner="dead")
            )
            assert isinstance(claimed, Job)
            if end == "canceled":
                world.door.send(moves.request_cancel(table, claimed, now=world.clock()))
        world.clock.ahead = 3 * MINUTE
        assert world.sweep(office.tools) == {end: 1}
        assert office.messages() == [JobMessage(tenant=job.tenant, job=job.id).model_dump_json()]

    def test_what_was_noted_before_is_told_no_more_and_bytes_are_still_removed(self, office: Office) -> None:
        """The row was settled by one who had read it before its start was told of."""
        office.endpoint("http://127.0.0.1:1/", ["job.started"])

        def handler(value: object, _: object) -> object:
            announce(office.tools, JobMessage(tenant=job.tenant, job=job.id))
            return value

        job = office.job(["job.started"], value={"n": 1, "padding": "x" * 2000})
        office.world.run(office.world.tools(handler), job)
        office.messages()
        office.world.clock.ahead = 2 * MINUTE
        office.world.sweep(office.tools)
        row = office.world.row(job)
        assert row.expires_at is not None
        assert row.due_at is not None
        assert row.due_at >= row.expires_at
        assert JobMessage(tenant=job.tenant, job=job.id).model_dump_json() not in office.messages()
