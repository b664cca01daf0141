"""Processes that die at a call while somebody is to be told of a job: it is told in the end, under the same id."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from coatcheck.clock import MINUTE, SECOND
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.record import Job
from coatcheck.signature import ID
from coatcheck.table.webhooks import begin_try
from coatcheck.webhooks import TRY_LEASE, DeliveryStatus, Endpoint
from tests.aws.worker.doors import Died, Mortal
from tests.aws.worker.moody import Moody
from tests.aws.worker.office import ENDS, Office
from tests.aws.worker.world import double
from worker.aws import Aws
from worker.webhooks.announce import announce
from worker.webhooks.deliver import INTERRUPTED, deliver
from worker.webhooks.inbox import parse

BOTH_SIDES = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def heal(office: Office, job: Job) -> None:
    """What sweepers and deliverers do that live, until there is nothing left to be done."""
    for _ in range(5):
        for body in office.messages():
            message = parse(body)
            if isinstance(message, JobMessage):
                announce(office.tools, message)
            else:
                deliver(office.desk(), message)
        deliveries = office.deliveries(job)
        if not office.world.row(job).notify and all(one.status is DeliveryStatus.DELIVERED for one in deliveries):
            return
        office.world.clock.ahead += 2 * MINUTE
        office.world.sweep(office.tools)
    raise AssertionError(f"{office.world.row(job)} {office.deliveries(job)}")


def at_every_call(office: Office, job: Callable[[], Job], act: Callable[[Aws, Job], object], *, after: bool) -> int:
    """Let `act` die at each of its calls, for a new job each time; answers how many there are."""
    at = 0
    while True:
        office.world.clock.ahead = 0
        told = job()
        office.messages()
        mortal = Mortal(office.world.door, at, after=after)
        with contextlib.suppress(Died):
            act(mortal, told)
        if not mortal.died:
            return at
        heal(office, told)
        at += 1


@BOTH_SIDES
def test_an_announcer_that_dies_at_any_call(office: Office, receiver: Moody, after: bool) -> None:  # noqa: FBT001
    made = {office.endpoint(receiver.url, ENDS).id, office.endpoint(receiver.url, ENDS).id}
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(office.ended())
        return jobs[-1]

    def act(door: Aws, told: Job) -> None:
        announce(office.desk(door).tools, JobMessage(tenant=told.tenant, job=told.id))

    assert at_every_call(office, job, act, after=after) == 7, "row, endpoints; put and send, twice; note"
    for told in jobs[:-1]:
        deliveries = office.deliveries(told)
        assert {one.endpoint for one in deliveries} == made
        assert len({one.event_id for one in deliveries}) == 1
        arrived = [one for one in receiver.arrived if one.headers[ID] == deliveries[0].event_id]
        assert len(arrived) == 2
        assert len({one.body for one in arrived}) == 1


@BOTH_SIDES
def test_a_deliverer_that_dies_at_any_call(office: Office, receiver: Moody, after: bool) -> None:  # noqa: FBT001
    endpoint = office.endpoint(receiver.url)
    secret = office.secret(endpoint.id)
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(office.ended())
        office.announced(jobs[-1])
        return jobs[-1]

    def act(door: Aws, told: Job) -> None:
        (delivery,) = office.deliveries(told)
        office.deliver(delivery, office.desk(door))

    assert at_every_call(office, job, act, after=after) == 6, "delivery, its job deleted, endpoint, key, begin, end"
    for number, told in enumerate(jobs[:-1]):
        (delivery,) = office.deliveries(told)
        arrived = [one for one in receiver.arrived if one.headers[ID] == delivery.event_id]
        ended_unnoted, begun_unnoted = (number == 5 and not after), (number == 4 and after)
        assert len(arrived) == (2 if ended_unnoted else 1)
        assert {one.body for one in arrived} == {delivery.body}
        told_of = [attempt.error or attempt.status_code for attempt in delivery.attempts]
        assert told_of == [INTERRUPTED] * (ended_unnoted or begun_unnoted) + [200]
        assert delivery.tries == len(delivery.attempts)
    assert office.verified(receiver.arrived[-1], secret)["type"] == "job.succeeded"


@BOTH_SIDES
def test_a_failing_deliverer_that_dies_noting_it(office: Office, receiver: Moody, after: bool) -> None:  # noqa: FBT001
    endpoints: list[Endpoint] = []

    def job() -> Job:
        receiver.be("500 Oops")
        endpoints.append(office.endpoint(receiver.url))
        made = office.ended()
        office.announced(made)
        return made

    def act(door: Aws, told: Job) -> None:
        delivery = next(one for one in office.deliveries(told) if one.endpoint == endpoints[-1].id)
        office.deliver(delivery, office.desk(door))

    def mended(door: Aws, told: Job) -> None:
        try:
            act(door, told)
        finally:
            receiver.be("204 Fine")

    assert at_every_call(office, job, mended, after=after) == 8, "as before; the endpoint's health, read and written"


@BOTH_SIDES
def test_a_worker_that_dies_at_any_call(office: Office, receiver: Moody, after: bool) -> None:  # noqa: FBT001
    """Above all right after the write that ended the job: event and state are one."""
    office.endpoint(receiver.url)
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(office.job())
        return jobs[-1]

    def act(door: Aws, told: Job) -> None:
        try:
            office.world.run(office.world.tools(double, door), told)
        except Died:
            office.world.clock.ahead += 2 * MINUTE
            office.world.sweep(office.tools)
            if not office.world.row(told).done:
                office.world.run(office.tools, told)
            raise

    assert at_every_call(office, job, act, after=after) == 3, "claim, settle, wake"
    for told in jobs[:-1]:
        (delivery,) = office.deliveries(told)
        assert [one.body for one in receiver.arrived if one.headers[ID] == delivery.event_id] == [delivery.body]


def test_a_message_of_either_kind_is_told_apart() -> None:
    job = JobMessage(tenant="t", job="job_1")
    delivery = DeliveryMessage(tenant="t", of="job_1", made=1, delivery="dlv_1", endpoint="whe_1")
    assert [parse(one.model_dump_json()) for one in (job, delivery)] == [job, delivery]


def test_a_lost_attempt_is_woken_once_and_as_soon_as_it_counts_as_lost(office: Office) -> None:
    office.endpoint("http://127.0.0.1:1/")
    (delivery,) = office.announced(office.ended())
    begun = office.world.clock()
    assert office.world.door.send(begin_try(office.world.deployment.table, delivery, now=begun)) is not None
    office.messages()
    woken = []
    while office.world.clock() < begun + 2 * TRY_LEASE:
        if office.world.sweep(office.tools) == {"delivery woken": 1}:
            woken.append(office.world.clock() - begun)
        office.world.clock.ahead += 5 * SECOND
    assert len(woken) == 1
    assert TRY_LEASE <= woken[0] <= TRY_LEASE + 6 * SECOND
    assert len(office.messages()) == 1
