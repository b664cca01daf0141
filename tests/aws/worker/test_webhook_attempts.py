"""Attempts at deliveries, on real stores with real receivers and a clock that is moved."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from coatcheck.core.aws.dynamodb.webhook_items import begin_attempt, delete_endpoint, put_endpoint
from coatcheck.core.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.core.signature import BadSignature
from coatcheck.core.webhooks import (
    ATTEMPT_LEASE,
    JOBS_ENDPOINT,
    MAX_ENDPOINTS_OF_A_HOST,
    DeliveryStatus,
    WebhookEndpoint,
    endpoint_id_for,
)
from coatcheck_worker.dependencies import Ack, Redeliver
from coatcheck_worker.webhooks import endpoint_health
from coatcheck_worker.webhooks.outbound.request_errors import NotAllowed
from tests.aws.worker.delivery_harness import DeliveryHarness
from tests.aws.worker.faulty_receiver import OK, FaultyReceiver
from tests.transports import Fault, FaultyTransport, repeat


class TestAttempts:
    def test_a_delivery_takes_one_attempt_and_few_calls(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        counting = FaultyTransport(delivery_harness.harness.transport)
        delivery_context = delivery_harness.delivery_context(counting)
        assert delivery_harness.deliver(delivery, delivery_context) == Ack()
        assert counting.operations == ["GetItem", "GetItem", "GetItem", "GetSecretValue", "UpdateItem", "UpdateItem"]
        (received,) = receiver.received
        assert delivery_harness.verified(received, delivery_harness.secret(endpoint.id)) == json.loads(delivery.body)
        assert received.headers["Content-Type"] == "application/json"
        after = delivery_harness.read_delivery(delivery)
        assert (after.status, after.tries, after.next_attempt_at) == (DeliveryStatus.DELIVERED, 1, None)
        (attempt,) = after.attempts
        assert (attempt.status_code, attempt.error, attempt.response) == (200, None, "well")
        assert delivery_harness.deliver(delivery, delivery_context) == Ack()
        assert len(receiver.received) == 1

    def test_the_next_attempt_rides_the_same_message_where_a_queue_can_wait_that_long(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        delivery_harness.endpoint(receiver.url)
        receiver.set_mode("500 Oops")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        verdicts = []
        for _ in range(4):
            delivery_harness.wait_for(delivery_harness.read_delivery(delivery))
            verdicts.append(delivery_harness.deliver(delivery))
        assert verdicts == [Redeliver(5), Redeliver(300), Ack(), Ack()]
        assert delivery_harness.deliver(delivery) == Ack()
        assert len(receiver.received) == 4

    def test_a_message_that_comes_early_waits(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        delivery_harness.endpoint(receiver.url)
        receiver.set_mode("500 Oops")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        delivery_harness.deliver(delivery)
        disposition = delivery_harness.deliver(delivery)
        assert isinstance(disposition, Redeliver)
        assert 3 <= disposition.seconds <= 5
        assert len(receiver.received) == 1

    @pytest.mark.parametrize("form", ["seconds", "date", "yesterday", "nonsense"])
    def test_a_receiver_may_ask_for_more_time(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver, form: str
    ) -> None:
        delivery_harness.endpoint(receiver.url)
        in_an_hour = datetime.fromtimestamp(delivery_harness.harness.clock() / SECOND + 3600, UTC)
        asked = {
            "seconds": "3600",
            "date": format_datetime(in_an_hour, usegmt=True),
            "yesterday": "Sun, 06 Nov 1994 08:49:37 GMT",
            "nonsense": "soon",
        }[form]
        receiver.set_mode(f"503 Busy\r\nRetry-After: {asked}")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        after = delivery_harness.attempted(delivery)
        assert after.next_attempt_at is not None
        wait = after.next_attempt_at - after.attempts[0].at
        assert abs(wait - (HOUR if form in {"seconds", "date"} else 5 * SECOND)) <= 3 * SECOND

    def test_a_redirect_is_a_failure_that_is_named(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        delivery_harness.endpoint(receiver.url)
        receiver.set_mode("307 Moved\r\nLocation: http://127.0.0.1:1/")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        (attempt,) = delivery_harness.attempted(delivery).attempts
        assert (attempt.status_code, attempt.error) == (307, "redirect: answered 307, and redirects are not followed")

    def test_an_address_that_is_not_allowed_is_all_that_is_told(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://169.254.169.254/latest/meta-data/")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        (attempt,) = delivery_harness.attempted(delivery).attempts
        assert attempt.error == f"{NotAllowed.code}: {NotAllowed.text}"
        assert "169.254" not in NotAllowed.text

    def test_after_the_last_attempt_it_has_failed(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://127.0.0.1:1/")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        after = delivery_harness.until_over(delivery)
        assert (after.status, after.tries, len(after.attempts)) == (DeliveryStatus.FAILED, 10, 10)

    def test_a_lost_reply_to_the_end_of_an_attempt_changes_nothing(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        delivery_harness.endpoint(receiver.url)
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        end_twice = FaultyTransport(delivery_harness.harness.transport, Fault(repeat, skip=5, times=1))
        assert delivery_harness.deliver(delivery, delivery_harness.delivery_context(end_twice)) == Redeliver(0)
        assert delivery_harness.deliver(delivery) == Ack()
        assert delivery_harness.read_delivery(delivery).status is DeliveryStatus.DELIVERED
        assert len(receiver.received) == 1

    def test_who_is_trying_is_left_alone_until_it_counts_as_dead(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        delivery_harness.endpoint(receiver.url)
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        held = begin_attempt(delivery_harness.harness.settings.table, delivery, now=delivery_harness.harness.clock())
        assert delivery_harness.harness.transport.send(held) is not None
        assert delivery_harness.deliver(delivery) == Ack()
        assert receiver.received == []
        delivery_harness.harness.clock.ahead += ATTEMPT_LEASE
        after = delivery_harness.attempted(delivery)
        assert [attempt.error or attempt.status_code for attempt in after.attempts] == [
            "interrupted: the deliverer ended while it waited for the answer",
            200,
        ]
        assert after.tries == 2

    def test_an_overdue_delivery_gets_another_message_ever_less_often(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://127.0.0.1:1/")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        delivery_harness.messages()
        woken = []
        for minutes in range(1, 60):
            delivery_harness.harness.clock.ahead = minutes * MINUTE
            if delivery_harness.harness.sweep(delivery_harness.dependencies) == {"delivery woken": 1}:
                woken.append(minutes)
        assert woken[0] <= 2
        assert 4 <= len(woken) <= 6
        assert len(delivery_harness.messages()) == len(woken)
        assert delivery_harness.read_delivery(delivery).tries == 0

    def test_an_attempt_beyond_what_a_queue_can_wait_is_woken_on_time(self, delivery_harness: DeliveryHarness) -> None:
        delivery_harness.endpoint("http://127.0.0.1:1/")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        for _ in range(3):
            after = delivery_harness.attempted(delivery)
        assert after.next_attempt_at is not None
        assert after.due_at is not None
        assert after.due_at + MINUTE <= after.next_attempt_at <= after.due_at + 15 * MINUTE


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the owner's log says of endpoints. An emulator in this process may log as well."""
    return [record.getMessage() for record in caplog.records if record.name == endpoint_health.__name__]


class TestEndpoints:
    def test_410_disables_the_endpoint_and_ends_the_delivery(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver, caplog: pytest.LogCaptureFixture
    ) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        receiver.set_mode("410 Gone")
        first, second = (delivery_harness.announced(delivery_harness.ended())[0] for _ in range(2))
        with caplog.at_level(logging.ERROR):
            after = delivery_harness.attempted(first)
        assert (after.status, after.tries, after.attempts[0].status_code) == (DeliveryStatus.FAILED, 1, 410)
        read = delivery_harness.read(endpoint)
        assert (read.enabled, read.disabled_reason) == (False, "answered 410 Gone")
        line = f"webhook endpoint {endpoint.id} of tenant {endpoint.tenant} is disabled: answered 410 Gone"
        assert _logged(caplog) == [line]
        after = delivery_harness.attempted(second)
        assert (after.status, after.attempts[0].error) == (
            DeliveryStatus.FAILED,
            "disabled: the endpoint is switched off",
        )
        assert len(receiver.received) == 1

    def test_one_that_fails_for_five_days_is_disabled(
        self, delivery_harness: DeliveryHarness, caplog: pytest.LogCaptureFixture
    ) -> None:
        endpoint = delivery_harness.endpoint("http://127.0.0.1:1/")
        with caplog.at_level(logging.ERROR):
            while delivery_harness.read(endpoint).enabled:
                (delivery,) = delivery_harness.announced(delivery_harness.ended())
                delivery_harness.attempted(delivery)
                delivery_harness.harness.clock.ahead += 8 * HOUR
        read = delivery_harness.read(endpoint)
        assert read.disabled_reason == "failed for five days"
        assert read.failing_since is not None
        assert 5 * DAY <= delivery_harness.harness.clock() - read.failing_since <= 6 * DAY
        assert _logged(caplog) == [
            f"webhook endpoint {endpoint.id} of tenant {endpoint.tenant} is disabled: failed for five days"
        ]

    def test_one_success_is_enough_to_start_anew(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        receiver.set_mode("500 Oops")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        delivery_harness.attempted(delivery)
        failing = delivery_harness.read(endpoint)
        assert (failing.failures, failing.failing_since is None) == (1, False)
        receiver.set_mode(OK)
        delivery_harness.attempted(delivery)
        read = delivery_harness.read(endpoint)
        assert (read.failures, read.failing_since, read.resting_until) == (0, None, None)

    def test_one_that_fails_again_and_again_is_left_in_peace(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        receiver.set_mode("500 Oops")
        deliveries = [delivery_harness.announced(delivery_harness.ended())[0] for _ in range(6)]
        delivery_context = delivery_harness.delivery_context()
        for delivery in deliveries[:5]:
            delivery_harness.deliver(delivery, delivery_context)
        resting_until = delivery_harness.read(endpoint).resting_until
        assert resting_until is not None
        delivery_harness.harness.clock.ahead += 3 * SECOND
        disposition = delivery_harness.deliver(deliveries[5], delivery_context)
        assert isinstance(disposition, Redeliver)
        waits = delivery_harness.read_delivery(deliveries[5])
        assert (waits.tries, waits.attempts, waits.status) == (0, (), DeliveryStatus.PENDING)
        assert waits.next_attempt_at is not None
        assert resting_until <= waits.next_attempt_at <= resting_until + 30 * SECOND
        assert len(receiver.received) == 5
        receiver.set_mode(OK)
        assert delivery_harness.attempted(deliveries[5]).status is DeliveryStatus.DELIVERED

    def test_a_ping_waits_for_the_end_of_a_rest_too(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        rest = delivery_harness.harness.clock() + 30 * SECOND
        endpoint = delivery_harness.endpoint(receiver.url, failures=5, failing_since=1, resting_until=rest)
        ping = delivery_harness.ping(endpoint)
        delivery_harness.deliver(ping)
        assert receiver.received == []
        waits = delivery_harness.read_delivery(ping)
        assert (waits.tries, waits.status) == (0, DeliveryStatus.PENDING)
        assert delivery_harness.attempted(ping).status is DeliveryStatus.DELIVERED
        assert delivery_harness.read(endpoint).resting_until is None

    def test_a_host_is_sent_an_event_by_so_many_endpoints_and_no_more(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        """The endpoints are from before there was a limit."""
        made = [delivery_harness.endpoint(f"{receiver.url}/{number}", created_at=number) for number in range(8)]
        announced = delivery_harness.announced(delivery_harness.ended())
        assert {one.endpoint for one in announced} == {one.id for one in made[:MAX_ENDPOINTS_OF_A_HOST]}

    def test_a_deleted_one_is_sent_nothing(self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        delivery_harness.harness.transport.send(
            delete_endpoint(delivery_harness.harness.settings.table, endpoint.tenant, endpoint.id)
        )
        after = delivery_harness.attempted(delivery)
        assert (after.status, after.attempts[0].error) == (DeliveryStatus.FAILED, "deleted: the endpoint is no more")
        assert receiver.received == []

    def test_one_that_moved_gets_what_is_pending_there(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        endpoint = delivery_harness.endpoint("http://127.0.0.1:1/")
        (delivery,) = delivery_harness.announced(delivery_harness.ended())
        delivery_harness.attempted(delivery)
        delivery_harness.change(endpoint, url=receiver.url)
        after = delivery_harness.attempted(delivery)
        assert (after.status, after.url) == (DeliveryStatus.DELIVERED, receiver.url)

    def test_both_secrets_sign_while_one_is_rotated(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        delivery_harness.change(endpoint, generation=2, rotated_at=delivery_harness.harness.clock())
        first, second = (delivery_harness.announced(delivery_harness.ended())[0] for _ in range(2))
        old, new = delivery_harness.secret(endpoint.id, 1), delivery_harness.secret(endpoint.id, 2)
        delivery_harness.attempted(first)
        assert delivery_harness.verified(receiver.received[0], old) == delivery_harness.verified(
            receiver.received[0], new
        )
        delivery_harness.harness.clock.ahead += 2 * DAY
        delivery_harness.attempted(second)
        delivery_harness.verified(receiver.received[1], new)
        with pytest.raises(BadSignature):
            delivery_harness.verified(receiver.received[1], old)

    def test_a_new_secret_signs_the_very_next_attempt(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        endpoint = delivery_harness.endpoint(receiver.url)
        first, second = (delivery_harness.announced(delivery_harness.ended())[0] for _ in range(2))
        delivery_context = delivery_harness.delivery_context()
        delivery_harness.attempted(first, delivery_context)
        delivery_harness.change(endpoint, generation=2, rotated_at=delivery_harness.harness.clock())
        delivery_harness.attempted(second, delivery_context)
        delivery_harness.verified(receiver.received[1], delivery_harness.secret(endpoint.id, 2))


class TestUrlsOfJobs:
    def test_a_job_may_bring_its_own(self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver) -> None:
        job = delivery_harness.ended(["job.succeeded"], webhook={"url": receiver.url, "events": ["job.succeeded"]})
        (delivery,) = delivery_harness.announced(job)
        assert delivery.endpoint == endpoint_id_for(job.tenant, receiver.url)
        assert delivery_harness.attempted(delivery).status is DeliveryStatus.DELIVERED
        (received,) = receiver.received
        delivery_harness.verified(received, delivery_harness.secret(JOBS_ENDPOINT))

    def test_its_secret_can_be_rotated_and_410_ends_the_one_delivery(
        self, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
    ) -> None:
        made = WebhookEndpoint(
            delivery_harness.harness.tenant,
            JOBS_ENDPOINT,
            "",
            (),
            0,
            generation=2,
            rotated_at=delivery_harness.harness.clock() - 2 * DAY,
        )
        delivery_harness.harness.transport.send(put_endpoint(delivery_harness.harness.settings.table, made))
        receiver.set_mode("410 Gone")
        job = delivery_harness.ended(["job.succeeded"], webhook={"url": receiver.url, "events": ["job.succeeded"]})
        (delivery,) = delivery_harness.announced(job)
        assert delivery_harness.attempted(delivery).status is DeliveryStatus.FAILED
        delivery_harness.verified(receiver.received[0], delivery_harness.secret(JOBS_ENDPOINT, 2))
        assert delivery_harness.read(made).enabled
