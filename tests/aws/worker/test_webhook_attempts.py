"""Attempts at deliveries, on real stores with real receivers and a clock that is moved."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from coatcheck.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.signature import BadSignature
from coatcheck.table.webhooks import begin_try, delete_endpoint, put_endpoint
from coatcheck.webhooks import (
    JOBS_ENDPOINT,
    TRY_LEASE,
    DeliveryStatus,
    Endpoint,
    endpoint_id_for,
)
from tests.aws.worker.doors import Counting, LosesReplies
from tests.aws.worker.moody import GOOD, Moody
from tests.aws.worker.office import Office
from worker.outbound.errors import NotAllowed
from worker.tools import Again, Done
from worker.webhooks import health


class TestAttempts:
    def test_a_delivery_takes_one_attempt_and_few_calls(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint(receiver.url)
        (delivery,) = office.announced(office.ended())
        counting = Counting(office.world.door)
        desk = office.desk(counting)
        assert office.deliver(delivery, desk) == Done()
        assert counting.operations == ["GetItem", "GetItem", "GetItem", "GetSecretValue", "UpdateItem", "UpdateItem"]
        (arrived,) = receiver.arrived
        assert office.verified(arrived, office.secret(endpoint.id)) == json.loads(delivery.body)
        assert arrived.headers["Content-Type"] == "application/json"
        after = office.look(delivery)
        assert (after.status, after.tries, after.next_attempt_at) == (DeliveryStatus.DELIVERED, 1, None)
        (attempt,) = after.attempts
        assert (attempt.status_code, attempt.error, attempt.response) == (200, None, "well")
        assert office.deliver(delivery, desk) == Done()
        assert len(receiver.arrived) == 1

    def test_the_next_attempt_rides_the_same_message_where_a_queue_can_wait_that_long(
        self, office: Office, receiver: Moody
    ) -> None:
        office.endpoint(receiver.url)
        receiver.be("500 Oops")
        (delivery,) = office.announced(office.ended())
        verdicts = []
        for _ in range(4):
            office.wait_for(office.look(delivery))
            verdicts.append(office.deliver(delivery))
        assert verdicts == [Again(5), Again(300), Done(), Done()]
        assert office.deliver(delivery) == Done()
        assert len(receiver.arrived) == 4

    def test_a_message_that_comes_early_waits(self, office: Office, receiver: Moody) -> None:
        office.endpoint(receiver.url)
        receiver.be("500 Oops")
        (delivery,) = office.announced(office.ended())
        office.deliver(delivery)
        verdict = office.deliver(delivery)
        assert isinstance(verdict, Again)
        assert 3 <= verdict.seconds <= 5
        assert len(receiver.arrived) == 1

    @pytest.mark.parametrize("form", ["seconds", "date", "yesterday", "nonsense"])
    def test_a_receiver_may_ask_for_more_time(self, office: Office, receiver: Moody, form: str) -> None:
        office.endpoint(receiver.url)
        in_an_hour = datetime.fromtimestamp(office.world.clock() / SECOND + 3600, UTC)
        asked = {
            "seconds": "3600",
            "date": format_datetime(in_an_hour, usegmt=True),
            "yesterday": "Sun, 06 Nov 1994 08:49:37 GMT",
            "nonsense": "soon",
        }[form]
        receiver.be(f"503 Busy\r\nRetry-After: {asked}")
        (delivery,) = office.announced(office.ended())
        after = office.tried(delivery)
        assert after.next_attempt_at is not None
        wait = after.next_attempt_at - after.attempts[0].at
        assert abs(wait - (HOUR if form in {"seconds", "date"} else 5 * SECOND)) <= 3 * SECOND

    def test_a_redirect_is_a_failure_that_is_named(self, office: Office, receiver: Moody) -> None:
        office.endpoint(receiver.url)
        receiver.be("307 Moved\r\nLocation: http://127.0.0.1:1/")
        (delivery,) = office.announced(office.ended())
        (attempt,) = office.tried(delivery).attempts
        assert (attempt.status_code, attempt.error) == (307, "redirect: answered 307, and redirects are not followed")

    def test_an_address_that_is_not_allowed_is_all_that_is_told(self, office: Office) -> None:
        office.endpoint("http://169.254.169.254/latest/meta-data/")
        (delivery,) = office.announced(office.ended())
        (attempt,) = office.tried(delivery).attempts
        assert attempt.error == f"{NotAllowed.code}: {NotAllowed.text}"
        assert "169.254" not in NotAllowed.text

    def test_after_the_last_attempt_it_has_failed(self, office: Office) -> None:
        office.endpoint("http://127.0.0.1:1/")
        (delivery,) = office.announced(office.ended())
        after = office.until_over(delivery)
        assert (after.status, after.tries, len(after.attempts)) == (DeliveryStatus.FAILED, 10, 10)

    def test_a_lost_reply_to_the_end_of_an_attempt_changes_nothing(self, office: Office, receiver: Moody) -> None:
        office.endpoint(receiver.url)
        (delivery,) = office.announced(office.ended())
        ends: list[object] = []

        def is_end(call: object) -> bool:
            ends.append(call)
            return len(ends) == 6

        assert office.deliver(delivery, office.desk(LosesReplies(office.world.door, is_end))) == Again(0)
        assert office.deliver(delivery) == Done()
        assert office.look(delivery).status is DeliveryStatus.DELIVERED
        assert len(receiver.arrived) == 1

    def test_who_is_trying_is_left_alone_until_it_counts_as_dead(self, office: Office, receiver: Moody) -> None:
        office.endpoint(receiver.url)
        (delivery,) = office.announced(office.ended())
        held = begin_try(office.world.deployment.table, delivery, now=office.world.clock())
        assert office.world.door.send(held) is not None
        assert office.deliver(delivery) == Done()
        assert receiver.arrived == []
        office.world.clock.ahead += TRY_LEASE
        after = office.tried(delivery)
        assert [attempt.error or attempt.status_code for attempt in after.attempts] == [
            "interrupted: the deliverer ended while it waited for the answer",
            200,
        ]
        assert after.tries == 2

    def test_an_overdue_delivery_gets_another_message_ever_less_often(self, office: Office) -> None:
        office.endpoint("http://127.0.0.1:1/")
        (delivery,) = office.announced(office.ended())
        office.messages()
        woken = []
        for minutes in range(1, 60):
            office.world.clock.ahead = minutes * MINUTE
            if office.world.sweep(office.tools) == {"delivery woken": 1}:
                woken.append(minutes)
        assert woken[0] <= 2
        assert 4 <= len(woken) <= 6
        assert len(office.messages()) == len(woken)
        assert office.look(delivery).tries == 0

    def test_an_attempt_beyond_what_a_queue_can_wait_is_woken_on_time(self, office: Office) -> None:
        office.endpoint("http://127.0.0.1:1/")
        (delivery,) = office.announced(office.ended())
        for _ in range(3):
            after = office.tried(delivery)
        assert after.next_attempt_at is not None
        assert after.due_at is not None
        assert after.due_at + MINUTE <= after.next_attempt_at <= after.due_at + 15 * MINUTE


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the owner's log says of endpoints. An emulator in this process may log as well."""
    return [record.getMessage() for record in caplog.records if record.name == health.__name__]


class TestEndpoints:
    def test_410_disables_the_endpoint_and_ends_the_delivery(
        self, office: Office, receiver: Moody, caplog: pytest.LogCaptureFixture
    ) -> None:
        endpoint = office.endpoint(receiver.url)
        receiver.be("410 Gone")
        first, second = (office.announced(office.ended())[0] for _ in range(2))
        with caplog.at_level(logging.ERROR):
            after = office.tried(first)
        assert (after.status, after.tries, after.attempts[0].status_code) == (DeliveryStatus.FAILED, 1, 410)
        read = office.read(endpoint)
        assert (read.enabled, read.disabled_reason) == (False, "answered 410 Gone")
        line = f"webhook endpoint {endpoint.id} of tenant {endpoint.tenant} is disabled: answered 410 Gone"
        assert _told(caplog) == [line]
        after = office.tried(second)
        assert (after.status, after.attempts[0].error) == (
            DeliveryStatus.FAILED,
            "disabled: the endpoint is switched off",
        )
        assert len(receiver.arrived) == 1

    def test_one_that_fails_for_five_days_is_disabled(self, office: Office, caplog: pytest.LogCaptureFixture) -> None:
        endpoint = office.endpoint("http://127.0.0.1:1/")
        with caplog.at_level(logging.ERROR):
            while office.read(endpoint).enabled:
                (delivery,) = office.announced(office.ended())
                office.tried(delivery)
                office.world.clock.ahead += 8 * HOUR
        read = office.read(endpoint)
        assert read.disabled_reason == "failed for five days"
        assert read.failing_since is not None
        assert 5 * DAY <= office.world.clock() - read.failing_since <= 6 * DAY
        assert _told(caplog) == [
            f"webhook endpoint {endpoint.id} of tenant {endpoint.tenant} is disabled: failed for five days"
        ]

    def test_one_success_is_enough_to_start_anew(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint(receiver.url)
        receiver.be("500 Oops")
        (delivery,) = office.announced(office.ended())
        office.tried(delivery)
        failing = office.read(endpoint)
        assert (failing.failures, failing.failing_since is None) == (1, False)
        receiver.be(GOOD)
        office.tried(delivery)
        read = office.read(endpoint)
        assert (read.failures, read.failing_since, read.resting_until) == (0, None, None)

    def test_one_that_fails_again_and_again_is_left_in_peace(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint(receiver.url)
        receiver.be("500 Oops")
        deliveries = [office.announced(office.ended())[0] for _ in range(6)]
        desk = office.desk()
        for delivery in deliveries[:5]:
            office.deliver(delivery, desk)
        resting_until = office.read(endpoint).resting_until
        assert resting_until is not None
        office.world.clock.ahead += 3 * SECOND
        verdict = office.deliver(deliveries[5], desk)
        assert isinstance(verdict, Again)
        waits = office.look(deliveries[5])
        assert (waits.tries, waits.attempts, waits.status) == (0, (), DeliveryStatus.PENDING)
        assert waits.next_attempt_at is not None
        assert resting_until <= waits.next_attempt_at <= resting_until + 30 * SECOND
        assert len(receiver.arrived) == 5
        receiver.be(GOOD)
        assert office.tried(deliveries[5]).status is DeliveryStatus.DELIVERED

    def test_a_deleted_one_is_sent_nothing(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint(receiver.url)
        (delivery,) = office.announced(office.ended())
        office.world.door.send(delete_endpoint(office.world.deployment.table, endpoint.tenant, endpoint.id))
        after = office.tried(delivery)
        assert (after.status, after.attempts[0].error) == (DeliveryStatus.FAILED, "deleted: the endpoint is no more")
        assert receiver.arrived == []

    def test_one_that_moved_gets_what_is_pending_there(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint("http://127.0.0.1:1/")
        (delivery,) = office.announced(office.ended())
        office.tried(delivery)
        office.change(endpoint, url=receiver.url)
        after = office.tried(delivery)
        assert (after.status, after.url) == (DeliveryStatus.DELIVERED, receiver.url)

    def test_both_secrets_sign_while_one_is_rotated(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint(receiver.url)
        office.change(endpoint, generation=2, rotated_at=office.world.clock())
        first, second = (office.announced(office.ended())[0] for _ in range(2))
        old, new = office.secret(endpoint.id, 1), office.secret(endpoint.id, 2)
        office.tried(first)
        assert office.verified(receiver.arrived[0], old) == office.verified(receiver.arrived[0], new)
        office.world.clock.ahead += 2 * DAY
        office.tried(second)
        office.verified(receiver.arrived[1], new)
        with pytest.raises(BadSignature):
            office.verified(receiver.arrived[1], old)

    def test_a_new_secret_signs_the_very_next_attempt(self, office: Office, receiver: Moody) -> None:
        endpoint = office.endpoint(receiver.url)
        first, second = (office.announced(office.ended())[0] for _ in range(2))
        desk = office.desk()
        office.tried(first, desk)
        office.change(endpoint, generation=2, rotated_at=office.world.clock())
        office.tried(second, desk)
        office.verified(receiver.arrived[1], office.secret(endpoint.id, 2))


class TestUrlsOfJobs:
    def test_a_job_may_bring_its_own(self, office: Office, receiver: Moody) -> None:
        job = office.ended(["job.succeeded"], webhook={"url": receiver.url, "events": ["job.succeeded"]})
        (delivery,) = office.announced(job)
        assert delivery.endpoint == endpoint_id_for(job.tenant, receiver.url)
        assert office.tried(delivery).status is DeliveryStatus.DELIVERED
        (arrived,) = receiver.arrived
        office.verified(arrived, office.secret(JOBS_ENDPOINT))

    def test_its_secret_can_be_rotated_and_410_ends_the_one_delivery(self, office: Office, receiver: Moody) -> None:
        made = Endpoint(
            office.world.tenant, JOBS_ENDPOINT, "", (), 0, generation=2, rotated_at=office.world.clock() - 2 * DAY
        )
        office.world.door.send(put_endpoint(office.world.deployment.table, made))
        receiver.be("410 Gone")
        job = office.ended(["job.succeeded"], webhook={"url": receiver.url, "events": ["job.succeeded"]})
        (delivery,) = office.announced(job)
        assert office.tried(delivery).status is DeliveryStatus.FAILED
        office.verified(receiver.arrived[0], office.secret(JOBS_ENDPOINT, 2))
        assert office.read(made).enabled
