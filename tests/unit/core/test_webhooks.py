"""What becomes of an event, and when a delivery is tried again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.core.ids import is_id
from coatcheck.core.job import Job, JobError, Progress
from coatcheck.core.lifecycle import Status
from coatcheck.core.webhooks import (
    COOLDOWN_SPREAD,
    EVENTS,
    FAILURES_IN_A_ROW,
    MAX_COOLDOWN,
    ROTATION_OVERLAP,
    SCHEDULE,
    STARTED,
    Delivery,
    DeliveryAttempt,
    DeliveryKey,
    WebhookEndpoint,
    after_cooldown,
    cooldown_after,
    delivery_id,
    endpoint_id_for,
    event_id,
    future_events,
    job_at_event,
    next_attempt_time,
    pending_events,
    sorted_events,
)
from tests.job_rows import NOW, make_job


def _delivery(created_at: int) -> Delivery:
    key = DeliveryKey("t", "job_1", created_at, "dlv_1")
    return Delivery(key, "evt_1", EVENTS[1], "whe_1", "https://example.org/", b"{}", created_at, NOW + 14 * DAY)


def job_with_webhook(**changes: Any) -> Job:
    """A job of which somebody wants to know everything."""
    return replace(make_job(notify=EVENTS), **changes)


class TestEvents:
    def test_there_is_one_for_the_start_and_one_for_each_end(self) -> None:
        assert EVENTS[0] == STARTED == "job.started"
        assert set(EVENTS[1:]) == {f"job.{status}" for status in Status.all_final()}

    def test_none_has_happened_to_a_job_that_waits(self) -> None:
        assert pending_events(job_with_webhook()) == ()
        assert future_events(job_with_webhook()) == EVENTS

    def test_a_start_is_told_once(self) -> None:
        running = job_with_webhook(status=Status.RUNNING, started_at=NOW)
        assert pending_events(running) == ("job.started",)
        told = replace(running, notify=future_events(running))
        assert pending_events(told) == ()
        assert pending_events(replace(told, status=Status.QUEUED)) == ()

    @pytest.mark.parametrize("status", sorted(Status.all_final()))
    def test_the_end_is_told_as_what_it_was_and_nothing_comes_after(self, status: Status) -> None:
        ended = job_with_webhook(status=status, started_at=NOW)
        assert pending_events(ended) == ("job.started", f"job.{status}")
        assert future_events(ended) == ()

    def test_only_what_was_asked_for_is_told(self) -> None:
        assert pending_events(job_with_webhook(status=Status.FAILED, started_at=NOW, notify=("job.succeeded",))) == ()

    def test_events_are_put_in_order_and_each_once(self) -> None:
        assert sorted_events(["job.succeeded", "job.started", "job.succeeded"]) == ("job.started", "job.succeeded")

    def test_a_start_told_late_is_told_as_it_was(self) -> None:
        ended = job_with_webhook(
            status=Status.FAILED,
            version=9,
            updated_at=NOW + HOUR,
            started_at=NOW + 5,
            started_version=1,
            attempt=3,
            finished_at=NOW + HOUR,
            expires_at=NOW + DAY,
            progress=Progress(0.5),
            error=JobError("handler-error", "no"),
        )
        then = job_at_event(ended, "job.started")
        assert (then.status, then.version, then.updated_at, then.attempt) == (Status.RUNNING, 2, NOW + 5, 1)
        assert (then.finished_at, then.expires_at, then.progress, then.error, then.result) == (None,) * 5
        assert job_at_event(ended, "job.failed") is ended


class TestIds:
    def test_an_event_has_one_id_and_no_other_has_it(self) -> None:
        job = job_with_webhook()
        others = [job_with_webhook(id="job_2"), job_with_webhook(created_at=NOW + 1), job_with_webhook(tenant="u")]
        assert event_id(job, "job.failed") == event_id(replace(job, version=7), "job.failed")
        assert len({event_id(one, "job.failed") for one in [job, *others]} | {event_id(job, "job.expired")}) == 5

    def test_each_kind_can_be_told(self) -> None:
        event = event_id(job_with_webhook(), "job.failed")
        assert is_id("evt", event)
        assert is_id("dlv", delivery_id(event, "whe_1"))
        assert is_id("whe", endpoint_id_for("t", "https://example.org/"))
        assert endpoint_id_for("t", "https://example.org/") != endpoint_id_for("u", "https://example.org/")

    def test_the_urls_of_one_origin_are_one_receiver(self) -> None:
        urls = ("https://example.org/", "https://example.org/done?job=1", "HTTPS://Example.ORG")
        assert len({endpoint_id_for("t", url) for url in urls}) == 1
        others = ("https://example.org:8443/", "http://example.org/", "https://example.com/")
        assert len({endpoint_id_for("t", url) for url in (urls[0], *others)}) == 4


class TestSchedule:
    def test_it_is_that_of_standard_webhooks_three_days_long(self) -> None:
        assert len(SCHEDULE) == 10
        assert sum(SCHEDULE) == 75 * HOUR + 35 * MINUTE + 5 * SECOND

    @given(tries=st.integers(1, 9), roll=st.floats(0, 1, exclude_max=True))
    def test_each_wait_is_as_long_as_it_says_within_a_tenth(self, tries: int, roll: float) -> None:
        at = next_attempt_time(tries, now=NOW, roll=roll)
        assert at is not None
        assert abs(at - NOW - SCHEDULE[tries]) <= 0.1 * SCHEDULE[tries] + 1

    def test_after_the_last_there_is_none(self) -> None:
        assert next_attempt_time(10, now=NOW, roll=0) is None

    def test_a_receiver_may_ask_for_more_time_but_not_for_less_and_not_for_ever(self) -> None:
        assert next_attempt_time(1, now=NOW, roll=0.5, retry_after=HOUR) == NOW + HOUR
        assert next_attempt_time(3, now=NOW, roll=0.5, retry_after=SECOND) == NOW + 30 * MINUTE
        assert next_attempt_time(1, now=NOW, roll=0.5, retry_after=400 * DAY) == NOW + DAY

    def test_who_fails_in_a_row_is_left_in_peace_ever_longer(self) -> None:
        assert {cooldown_after(n) for n in range(FAILURES_IN_A_ROW)} == {0}
        rests = [cooldown_after(n) for n in range(FAILURES_IN_A_ROW, 1000)]
        assert rests[0] == 30 * SECOND
        assert rests[-1] == MAX_COOLDOWN
        assert all(one <= other for one, other in pairwise(rests))

    @given(waited=st.lists(st.integers(0, 12 * HOUR), min_size=2, unique=True), roll=st.floats(0.01, 0.99))
    def test_who_has_waited_longest_comes_first_after_a_rest(self, waited: list[int], roll: float) -> None:
        waiting = [_delivery(created_at=NOW - one) for one in sorted(waited, reverse=True)]
        turns = [after_cooldown(one, NOW + MINUTE, now=NOW, roll=roll) for one in waiting]
        assert turns == sorted(turns)
        assert all(NOW + MINUTE <= turn <= NOW + MINUTE + COOLDOWN_SPREAD for turn in turns)

    def test_one_that_waits_since_its_last_attempt_counts_from_when_the_next_was_due(self) -> None:
        tried = replace(
            _delivery(created_at=NOW - DAY), tries=3, attempts=(DeliveryAttempt(NOW - 30 * MINUTE, 5, 500),)
        )
        fresh = _delivery(created_at=NOW)
        assert after_cooldown(tried, NOW, now=NOW, roll=0.5) == after_cooldown(fresh, NOW, now=NOW, roll=0.5)


@pytest.mark.parametrize(
    ("attempt", "succeeded"),
    [
        (DeliveryAttempt(NOW, 5, 200), True),
        (DeliveryAttempt(NOW, 5, 299), True),
        (DeliveryAttempt(NOW, 5, 300), False),
        (DeliveryAttempt(NOW, 5, 199), False),
        (DeliveryAttempt(NOW, 5, 500), False),
        (DeliveryAttempt(NOW, 5, None, "timed-out: no answer"), False),
        (DeliveryAttempt(NOW, 5, 200, "bad-answer: it broke off"), False),
    ],
)
def test_only_a_whole_answer_of_2xx_is_success(attempt: DeliveryAttempt, *, succeeded: bool) -> None:
    assert attempt.succeeded is succeeded


def test_both_secrets_sign_for_a_day_after_a_rotation() -> None:
    rotated = WebhookEndpoint("t", "whe_1", "https://example.org/", EVENTS, NOW, generation=2, rotated_at=NOW)
    assert rotated.generations(NOW) == (2, 1)
    assert rotated.generations(NOW + ROTATION_OVERLAP - 1) == (2, 1)
    assert rotated.generations(NOW + ROTATION_OVERLAP) == (2,)
    assert replace(rotated, generation=1, rotated_at=None).generations(NOW) == (1,)
