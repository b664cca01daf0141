"""A receiver that fails nine times out of ten, on a clock that is moved."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from coatcheck.core.clock import SECOND
from coatcheck.core.signature import ID
from coatcheck.core.ssrf import SsrfPolicy
from coatcheck.core.webhooks import (
    COOLDOWN_SPREAD,
    FAILURES_IN_A_ROW,
    MAX_COOLDOWN,
    SCHEDULE,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
)
from coatcheck_worker.dependencies import Redeliver
from coatcheck_worker.webhooks.delivery_context import WebhookSender
from coatcheck_worker.webhooks.sender import RESPONSE_TIMEOUT, HttpWebhookSender
from tests.aws.worker.delivery_harness import DeliveryHarness
from tests.aws.worker.faulty_receiver import GARBAGE, OK, REFUSES, RESETS, SILENT, FaultyReceiver, ReceivedRequest
from tests.transports import ProcessDied, crash_at

EVENTS_TOLD = 40
SOON = 1.0
"""Seconds that a silent receiver is waited for. All others answer by themselves, be the machine as slow as it may."""
BAD = (
    REFUSES,
    RESETS,
    SILENT,
    GARBAGE,
    "500 Oops",
    "503 Busy\r\nRetry-After: 120",
    "302 Found\r\nLocation: /b",
    "404 No",
)
MOST_ATTEMPTS_KEPT = {
    REFUSES: (None, "unreachable"),
    RESETS: (None, "unreachable"),
    SILENT: (None, "timed-out"),
    GARBAGE: (None, "bad-answer"),
    BAD[4]: (500, None),
    BAD[5]: (503, None),
    BAD[6]: (302, "redirect"),
    BAD[7]: (404, None),
    OK: (200, None),
}


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
@pytest.mark.timeout(600)
def test_every_event_is_delivered_within_the_schedule_or_known_to_have_failed(
    delivery_harness: DeliveryHarness, receiver: FaultyReceiver
) -> None:
    chance = random.Random(5)
    endpoint = delivery_harness.endpoint(receiver.url)
    secret = delivery_harness.secret(endpoint.id)
    jobs = [delivery_harness.ended() for _ in range(EVENTS_TOLD)]
    made = [delivery for job in jobs for delivery in delivery_harness.announced(job)]
    delivery_context = delivery_harness.delivery_context()
    modes: dict[str, list[str]] = defaultdict(list)
    received: dict[str, list[ReceivedRequest]] = defaultdict(list)
    pending = {delivery.key.id: delivery for delivery in made}
    while pending:
        delivery = min(pending.values(), key=lambda one: one.next_attempt_at or 0)
        (mode,) = [OK] if chance.random() < 0.1 else chance.choices(BAD, [mode is not SILENT or 0.3 for mode in BAD])
        receiver.set_mode(mode)
        delivery_context.sender = HttpWebhookSender(
            SsrfPolicy.local(), seconds=SOON if mode is SILENT else RESPONSE_TIMEOUT
        )
        heard, begun = len(receiver.received), time.monotonic()
        after = delivery_harness.attempted(delivery, delivery_context)
        if after.tries > delivery.tries:
            modes[delivery.event_id].append(mode)
            assert after.attempts[-1].latency <= SECOND * (time.monotonic() - begun) + 1
            receiver.wait_for(heard + (mode is not REFUSES))
        for one in receiver.received[heard:]:
            delivery_harness.verified(one, secret)
            received[one.headers[ID]].append(one)
        pending[delivery.key.id] = after
        if after.status is not DeliveryStatus.PENDING:
            del pending[delivery.key.id]

    over = [delivery_harness.read_delivery(delivery) for delivery in made]
    assert {delivery.status for delivery in over} == {DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}
    assert received.keys() == {delivery.event_id for delivery in over}
    for delivery in over:
        _judge(delivery, modes[delivery.event_id])
        assert {one.body for one in received[delivery.event_id]} == {delivery.body}
        assert len(received[delivery.event_id]) == sum(mode != REFUSES for mode in modes[delivery.event_id])
    waits = {mode for attempted in modes.values() for mode in attempted}
    assert waits == {OK, *BAD}


def test_after_a_rest_one_delivery_tries_the_endpoint_for_all(
    delivery_harness: DeliveryHarness, receiver: FaultyReceiver
) -> None:
    endpoint = delivery_harness.endpoint(receiver.url)
    receiver.set_mode("500 Oops")
    *failing, first, second = (
        delivery_harness.announced(delivery_harness.ended())[0] for _ in range(FAILURES_IN_A_ROW + 2)
    )
    for delivery in failing:
        delivery_harness.deliver(delivery)
    assert delivery_harness.read(endpoint).resting_until is not None
    receiver.set_mode(OK)
    delivery_harness.harness.clock.ahead += MAX_COOLDOWN

    delivery_context, another = delivery_harness.delivery_context(), delivery_harness.delivery_context()
    delivery_context.sender = InterleavingSender(
        delivery_context.sender, lambda: delivery_harness.deliver(second, another)
    )
    delivery_harness.deliver(first, delivery_context)

    assert delivery_harness.read_delivery(first).status is DeliveryStatus.DELIVERED
    assert len(receiver.received) == FAILURES_IN_A_ROW + 1
    waits = delivery_harness.read_delivery(second)
    assert (waits.tries, waits.status) == (0, DeliveryStatus.PENDING)
    assert delivery_harness.read(endpoint).resting_until is None
    assert delivery_harness.attempted(second).status is DeliveryStatus.DELIVERED


def test_a_deliverer_that_dies_while_it_tries_for_all_is_followed_by_another(
    delivery_harness: DeliveryHarness, receiver: FaultyReceiver
) -> None:
    endpoint = delivery_harness.endpoint(receiver.url, failures=FAILURES_IN_A_ROW, failing_since=1, resting_until=1)
    (delivery,) = delivery_harness.announced(delivery_harness.ended())
    # after it has read the delivery, its job and the endpoint, and written that it tries for all
    crashing = crash_at(delivery_harness.harness.transport, at=3, after=True)
    with pytest.raises(ProcessDied):
        delivery_harness.deliver(delivery, delivery_harness.delivery_context(crashing))
    assert receiver.received == []
    assert isinstance(delivery_harness.deliver(delivery), Redeliver)
    assert delivery_harness.attempted(delivery).status is DeliveryStatus.DELIVERED
    assert delivery_harness.read(endpoint).failures == 0


@dataclass
class InterleavingSender:
    """Lets something happen just before each attempt."""

    sender: WebhookSender
    happens: Callable[[], object]

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        """As `HttpWebhookSender.attempt`."""
        self.happens()
        return self.sender.attempt(delivery, secrets, now=now)


def _judge(delivery: Delivery, modes: list[str]) -> None:
    assert [_outcome(attempt) for attempt in delivery.attempts] == [MOST_ATTEMPTS_KEPT[mode] for mode in modes]
    assert delivery.tries == len(modes) <= len(SCHEDULE)
    assert (delivery.status is DeliveryStatus.DELIVERED) is (modes[-1] == OK)
    assert delivery.status is DeliveryStatus.DELIVERED or len(modes) == len(SCHEDULE)
    assert (delivery.due_at, delivery.try_at, delivery.trying_since) == (None, None, None)
    # rests of the endpoint come on top: each ends with the attempt at whoever has waited longest
    took = delivery.attempts[-1].at - delivery.created_at
    rests = len(modes) * EVENTS_TOLD * (MAX_COOLDOWN + COOLDOWN_SPREAD)
    assert took <= 1.1 * sum(SCHEDULE[: len(modes)]) + rests


def _outcome(attempt: DeliveryAttempt) -> tuple[int | None, str | None]:
    return attempt.status_code, attempt.error.split(":")[0] if attempt.error else None
