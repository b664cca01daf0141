"""Processes that die at a call while somebody is to be told of a job: it is told in the end, under the same id."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.webhook_items import begin_attempt
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Job
from coatcheck.core.messages import DeliveryMessage, JobMessage, parse_webhook_message
from coatcheck.core.signature import ID
from coatcheck.core.webhooks import ATTEMPT_LEASE, DeliveryStatus, WebhookEndpoint
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from coatcheck_worker.webhooks.deliver import INTERRUPTED, deliver
from coatcheck_worker.webhooks.webhook_messages import process_message
from tests.aws.worker.delivery_harness import ENDS, DeliveryHarness
from tests.aws.worker.faulty_receiver import FaultyReceiver
from tests.aws.worker.worker_harness import double
from tests.transports import ProcessDied, crash_at

BOTH_SIDES = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


def recover(delivery_harness: DeliveryHarness, job: Job) -> None:
    """What sweepers and deliverers do that live, until there is nothing left to be done."""
    for _ in range(5):
        for body in delivery_harness.messages():
            message = parse_webhook_message(body)
            if isinstance(message, JobMessage):
                create_deliveries(delivery_harness.dependencies, message)
            else:
                deliver(delivery_harness.delivery_context(), message)
        deliveries = delivery_harness.deliveries(job)
        if not delivery_harness.harness.row(job).notify and all(
            one.status is DeliveryStatus.DELIVERED for one in deliveries
        ):
            return
        delivery_harness.harness.clock.ahead += 2 * MINUTE
        delivery_harness.harness.sweep(delivery_harness.dependencies)
    raise AssertionError(f"{delivery_harness.harness.row(job)} {delivery_harness.deliveries(job)}")


def at_every_call(
    delivery_harness: DeliveryHarness, job: Callable[[], Job], act: Callable[[Transport, Job], object], *, after: bool
) -> int:
    """Let `act` die at each of its calls, for a new job each time; answers how many there are."""
    at = 0
    while True:
        delivery_harness.harness.clock.ahead = 0
        notified = job()
        delivery_harness.messages()
        crashing = crash_at(delivery_harness.harness.transport, at, after=after)
        with contextlib.suppress(ProcessDied):
            act(crashing, notified)
        if not crashing.died:
            return at
        recover(delivery_harness, notified)
        at += 1


@BOTH_SIDES
def test_an_announcer_that_dies_at_any_call(
    delivery_harness: DeliveryHarness,
    receiver: FaultyReceiver,
    after: bool,  # noqa: FBT001
) -> None:
    made = {delivery_harness.endpoint(receiver.url, ENDS).id, delivery_harness.endpoint(receiver.url, ENDS).id}
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(delivery_harness.ended())
        return jobs[-1]

    def act(transport: Transport, notified: Job) -> None:
        create_deliveries(
            delivery_harness.delivery_context(transport).dependencies,
            JobMessage(tenant=notified.tenant, job=notified.id),
        )

    assert at_every_call(delivery_harness, job, act, after=after) == 7, "row, endpoints; put and send, twice; note"
    for notified in jobs[:-1]:
        deliveries = delivery_harness.deliveries(notified)
        assert {one.endpoint for one in deliveries} == made
        assert len({one.event_id for one in deliveries}) == 1
        received = [one for one in receiver.received if one.headers[ID] == deliveries[0].event_id]
        assert len(received) == 2
        assert len({one.body for one in received}) == 1


@BOTH_SIDES
def test_a_deliverer_that_dies_at_any_call(
    delivery_harness: DeliveryHarness,
    receiver: FaultyReceiver,
    after: bool,  # noqa: FBT001
) -> None:
    endpoint = delivery_harness.endpoint(receiver.url)
    secret = delivery_harness.secret(endpoint.id)
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(delivery_harness.ended())
        delivery_harness.announced(jobs[-1])
        return jobs[-1]

    def act(transport: Transport, notified: Job) -> None:
        (delivery,) = delivery_harness.deliveries(notified)
        delivery_harness.deliver(delivery, delivery_harness.delivery_context(transport))

    assert at_every_call(delivery_harness, job, act, after=after) == 6, (
        "delivery, its job deleted, endpoint, key, begin, end"
    )
    for number, notified in enumerate(jobs[:-1]):
        (delivery,) = delivery_harness.deliveries(notified)
        received = [one for one in receiver.received if one.headers[ID] == delivery.event_id]
        ended_unnoted, begun_unnoted = (number == 5 and not after), (number == 4 and after)
        assert len(received) == (2 if ended_unnoted else 1)
        assert {one.body for one in received} == {delivery.body}
        told_of = [attempt.error or attempt.status_code for attempt in delivery.attempts]
        assert told_of == [INTERRUPTED] * (ended_unnoted or begun_unnoted) + [200]
        assert delivery.tries == len(delivery.attempts)
    assert delivery_harness.verified(receiver.received[-1], secret)["type"] == "job.succeeded"


@BOTH_SIDES
def test_a_deliverer_that_dies_at_any_call_when_it_attempts_what_it_created(
    delivery_harness: DeliveryHarness,
    receiver: FaultyReceiver,
    after: bool,  # noqa: FBT001
) -> None:
    delivery_harness.endpoint(receiver.url)
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(delivery_harness.ended())
        return jobs[-1]

    def act(transport: Transport, notified: Job) -> None:
        message = ReceivedMessage(
            delivery_harness.harness.settings.queues["webhooks"],
            "handle",
            JobMessage(tenant=notified.tenant, job=notified.id).model_dump_json(),
            "id",
        )
        context = delivery_harness.delivery_context(transport)
        assert process_message(context, message, lambda _: nullcontext(enter_result=True))

    assert at_every_call(delivery_harness, job, act, after=after) == 9, (
        "row, endpoints, put, note; its job deleted, endpoint, key, begin, end"
    )
    assert delivery_harness.messages() == []
    for number, notified in enumerate(jobs):
        (delivery,) = delivery_harness.deliveries(notified)
        received = [one for one in receiver.received if one.headers[ID] == delivery.event_id]
        assert len(received) == (2 if number == 8 and not after else 1)
        assert delivery.attempts[-1].status_code == 200
        assert delivery.tries == len(delivery.attempts)


@BOTH_SIDES
def test_a_failing_deliverer_that_dies_noting_it(
    delivery_harness: DeliveryHarness,
    receiver: FaultyReceiver,
    after: bool,  # noqa: FBT001
) -> None:
    endpoints: list[WebhookEndpoint] = []

    def job() -> Job:
        receiver.set_mode("500 Oops")
        # one host is told by a few endpoints of a tenant only
        for told in endpoints:
            delivery_harness.change(told, enabled=False)
        endpoints.append(delivery_harness.endpoint(receiver.url))
        made = delivery_harness.ended()
        delivery_harness.announced(made)
        return made

    def act(transport: Transport, notified: Job) -> None:
        delivery = next(one for one in delivery_harness.deliveries(notified) if one.endpoint == endpoints[-1].id)
        delivery_harness.deliver(delivery, delivery_harness.delivery_context(transport))

    def mended(transport: Transport, notified: Job) -> None:
        try:
            act(transport, notified)
        finally:
            receiver.set_mode("204 Fine")

    assert at_every_call(delivery_harness, job, mended, after=after) == 8, (
        "as before; the endpoint's health, read and written"
    )


@BOTH_SIDES
def test_a_worker_that_dies_at_any_call(
    delivery_harness: DeliveryHarness,
    receiver: FaultyReceiver,
    after: bool,  # noqa: FBT001
) -> None:
    """Above all right after the write that ended the job: event and state are one."""
    delivery_harness.endpoint(receiver.url)
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(delivery_harness.job())
        return jobs[-1]

    def act(transport: Transport, notified: Job) -> None:
        try:
            delivery_harness.harness.run(delivery_harness.harness.dependencies(double, transport), notified)
        except ProcessDied:
            delivery_harness.harness.clock.ahead += 2 * MINUTE
            delivery_harness.harness.sweep(delivery_harness.dependencies)
            if not delivery_harness.harness.row(notified).done:
                delivery_harness.harness.run(delivery_harness.dependencies, notified)
            raise

    assert at_every_call(delivery_harness, job, act, after=after) == 3, "claim, settle, wake"
    for notified in jobs[:-1]:
        (delivery,) = delivery_harness.deliveries(notified)
        assert [one.body for one in receiver.received if one.headers[ID] == delivery.event_id] == [delivery.body]


def test_a_message_of_either_kind_is_told_apart() -> None:
    job = JobMessage(tenant="t", job="job_1")
    delivery = DeliveryMessage(tenant="t", of="job_1", made=1, delivery="dlv_1", endpoint="whe_1")
    assert [parse_webhook_message(one.model_dump_json()) for one in (job, delivery)] == [job, delivery]


def test_a_lost_attempt_is_woken_once_and_as_soon_as_it_counts_as_lost(delivery_harness: DeliveryHarness) -> None:
    delivery_harness.endpoint("http://127.0.0.1:1/")
    (delivery,) = delivery_harness.announced(delivery_harness.ended())
    begun = delivery_harness.harness.clock()
    assert (
        delivery_harness.harness.transport.send(
            begin_attempt(delivery_harness.harness.settings.table, delivery, now=begun)
        )
        is not None
    )
    delivery_harness.messages()
    woken = []
    while delivery_harness.harness.clock() < begun + 2 * ATTEMPT_LEASE:
        if delivery_harness.harness.sweep(delivery_harness.dependencies) == {"delivery woken": 1}:
            woken.append(delivery_harness.harness.clock() - begun)
        delivery_harness.harness.clock.ahead += 5 * SECOND
    assert len(woken) == 1
    assert ATTEMPT_LEASE <= woken[0] <= ATTEMPT_LEASE + 6 * SECOND
    assert len(delivery_harness.messages()) == 1
