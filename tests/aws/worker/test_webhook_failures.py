"""A receiver that fails nine times out of ten, on a clock that is moved."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from coatcheck.clock import SECOND
from coatcheck.signature import ID
from coatcheck.targets import Targets
from coatcheck.webhooks import (
    AFTER_A_REST,
    FAILURES_IN_A_ROW,
    LONGEST_REST,
    SCHEDULE,
    Attempt,
    Delivery,
    DeliveryStatus,
)
from tests.aws.worker.doors import Died, Mortal
from tests.aws.worker.moody import GARBAGE, GOOD, REFUSES, RESETS, SILENT, Arrived, Moody
from tests.aws.worker.office import Office
from worker.tools import Again
from worker.webhooks.attempts import ANSWER_WITHIN, Sender
from worker.webhooks.desk import Attempts

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
LEDGER = {
    REFUSES: (None, "unreachable"),
    RESETS: (None, "unreachable"),
    SILENT: (None, "timed-out"),
    GARBAGE: (None, "bad-answer"),
    BAD[4]: (500, None),
    BAD[5]: (503, None),
    BAD[6]: (302, "redirect"),
    BAD[7]: (404, None),
    GOOD: (200, None),
}


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
@pytest.mark.timeout(600)
def test_every_event_is_delivered_within_the_schedule_or_known_to_have_failed(office: Office, receiver: Moody) -> None:
    chance = random.Random(5)
    endpoint = office.endpoint(receiver.url)
    secret = office.secret(endpoint.id)
    jobs = [office.ended() for _ in range(EVENTS_TOLD)]
    made = [delivery for job in jobs for delivery in office.announced(job)]
    desk = office.desk()
    moods: dict[str, list[str]] = defaultdict(list)
    arrived: dict[str, list[Arrived]] = defaultdict(list)
    pending = {delivery.key.id: delivery for delivery in made}
    while pending:
        delivery = min(pending.values(), key=lambda one: one.next_attempt_at or 0)
        (mood,) = [GOOD] if chance.random() < 0.1 else chance.choices(BAD, [mood is not SILENT or 0.3 for mood in BAD])
        receiver.be(mood)
        desk.sender = Sender(Targets.local(), seconds=SOON if mood is SILENT else ANSWER_WITHIN)
        heard, begun = len(receiver.arrived), time.monotonic()
        after = office.tried(delivery, desk)
        if after.tries > delivery.tries:
            moods[delivery.event_id].append(mood)
            assert after.attempts[-1].latency <= SECOND * (time.monotonic() - begun) + 1
            receiver.wait_for(heard + (mood is not REFUSES))
        for one in receiver.arrived[heard:]:
            office.verified(one, secret)
            arrived[one.headers[ID]].append(one)
        pending[delivery.key.id] = after
        if after.status is not DeliveryStatus.PENDING:
            del pending[delivery.key.id]

    over = [office.look(delivery) for delivery in made]
    assert {delivery.status for delivery in over} == {DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}
    assert arrived.keys() == {delivery.event_id for delivery in over}
    for delivery in over:
        _judge(delivery, moods[delivery.event_id])
        assert {one.body for one in arrived[delivery.event_id]} == {delivery.body}
        assert len(arrived[delivery.event_id]) == sum(mood != REFUSES for mood in moods[delivery.event_id])
    waits = {mood for tried in moods.values() for mood in tried}
    assert waits == {GOOD, *BAD}


def test_after_a_rest_one_delivery_tries_the_endpoint_for_all(office: Office, receiver: Moody) -> None:
    endpoint = office.endpoint(receiver.url)
    receiver.be("500 Oops")
    *failing, first, second = (office.announced(office.ended())[0] for _ in range(FAILURES_IN_A_ROW + 2))
    for delivery in failing:
        office.deliver(delivery)
    assert office.read(endpoint).resting_until is not None
    receiver.be(GOOD)
    office.world.clock.ahead += LONGEST_REST

    desk, another = office.desk(), office.desk()
    desk.sender = Meanwhile(desk.sender, lambda: office.deliver(second, another))
    office.deliver(first, desk)

    assert office.look(first).status is DeliveryStatus.DELIVERED
    assert len(receiver.arrived) == FAILURES_IN_A_ROW + 1
    waits = office.look(second)
    assert (waits.tries, waits.status) == (0, DeliveryStatus.PENDING)
    assert office.read(endpoint).resting_until is None
    assert office.tried(second).status is DeliveryStatus.DELIVERED


def test_a_deliverer_that_dies_while_it_tries_for_all_is_followed_by_another(office: Office, receiver: Moody) -> None:
    endpoint = office.endpoint(receiver.url, failures=FAILURES_IN_A_ROW, failing_since=1, resting_until=1)
    (delivery,) = office.announced(office.ended())
    # after it has read the delivery, its job and the endpoint, and written that it tries for all
    mortal = Mortal(office.world.door, at=3, after=True)
    with pytest.raises(Died):
        office.deliver(delivery, office.desk(mortal))
    assert receiver.arrived == []
    assert isinstance(office.deliver(delivery), Again)
    assert office.tried(delivery).status is DeliveryStatus.DELIVERED
    assert office.read(endpoint).failures == 0


@dataclass
class Meanwhile:
    """Lets something happen just before each attempt."""

    sender: Attempts
    happens: Callable[[], object]

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[Attempt, int | None]:
        """As `Sender.attempt`."""
        self.happens()
        return self.sender.attempt(delivery, secrets, now=now)


def _judge(delivery: Delivery, moods: list[str]) -> None:
    assert [_told(attempt) for attempt in delivery.attempts] == [LEDGER[mood] for mood in moods]
    assert delivery.tries == len(moods) <= len(SCHEDULE)
    assert (delivery.status is DeliveryStatus.DELIVERED) is (moods[-1] == GOOD)
    assert delivery.status is DeliveryStatus.DELIVERED or len(moods) == len(SCHEDULE)
    assert (delivery.due_at, delivery.try_at, delivery.trying_since) == (None, None, None)
    # rests of the endpoint come on top: each ends with the attempt at whoever has waited longest
    took = delivery.attempts[-1].at - delivery.created_at
    rests = len(moods) * EVENTS_TOLD * (LONGEST_REST + AFTER_A_REST)
    assert took <= 1.1 * sum(SCHEDULE[: len(moods)]) + rests


def _told(attempt: Attempt) -> tuple[int | None, str | None]:
    return attempt.status_code, attempt.error.split(":")[0] if attempt.error else None
