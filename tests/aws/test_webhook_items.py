"""Endpoints and deliveries in the table, on both emulators."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb import webhook_items as table
from coatcheck.core.clock import DAY, MINUTE
from coatcheck.core.ids import make_id
from coatcheck.core.settings import Settings
from coatcheck.core.shards import SHARDS, ShardKind
from coatcheck.core.webhooks import (
    ATTEMPT_LEASE,
    EVENTS,
    MAX_ATTEMPTS_KEPT,
    Delivery,
    DeliveryAttempt,
    DeliveryKey,
    DeliveryStatus,
    WebhookEndpoint,
)

NOW = 1_800_000_000_000


def make_endpoint(tenant: str, created_at: int = NOW) -> WebhookEndpoint:
    made = make_id("whe", secrets.token_bytes(16))
    return WebhookEndpoint(tenant, made, "https://example.org/hook", EVENTS[1:], created_at, description="für uns")


def make_delivery(tenant: str, of: str = "job_1", made: int = NOW) -> Delivery:
    key = DeliveryKey(tenant, of, made, make_id("dlv", secrets.token_bytes(16)))
    return Delivery(
        key, "evt_1", "job.failed", "whe_1", "https://example.org/", b'{"a": 1}', NOW, NOW + DAY, due_at=NOW
    )


def test_an_endpoint_comes_back_as_it_was_put_and_only_to_its_tenant(
    aws: Transport, settings: Settings, tenant: str
) -> None:
    one, two = make_endpoint(tenant, NOW + 1), make_endpoint(tenant)
    assert aws.send(table.put_endpoint(settings.table, one))
    assert aws.send(table.put_endpoint(settings.table, two))
    assert not aws.send(table.put_endpoint(settings.table, one))
    assert aws.send(table.get_endpoint(settings.table, tenant, one.id)) == one
    assert aws.send(table.list_endpoints(settings.table, tenant)) == [two, one]
    assert aws.send(table.get_endpoint(settings.table, f"{tenant}x", one.id)) is None
    assert aws.send(table.list_endpoints(settings.table, f"{tenant}x")) == []


def test_of_two_changes_to_an_endpoint_at_once_one_is_made(aws: Transport, settings: Settings, tenant: str) -> None:
    read = make_endpoint(tenant)
    aws.send(table.put_endpoint(settings.table, read))
    changed = aws.send(table.update_endpoint(settings.table, replace(read, enabled=False, failures=3)))
    assert changed == replace(read, enabled=False, failures=3, version=2)
    assert aws.send(table.update_endpoint(settings.table, replace(read, description="late"))) is None
    assert aws.send(table.get_endpoint(settings.table, tenant, read.id)) == changed


def test_an_endpoint_that_was_deleted_stays_away(aws: Transport, settings: Settings, tenant: str) -> None:
    read = make_endpoint(tenant)
    aws.send(table.put_endpoint(settings.table, read))
    assert aws.send(table.delete_endpoint(settings.table, tenant, read.id))
    assert not aws.send(table.delete_endpoint(settings.table, tenant, read.id))
    assert aws.send(table.update_endpoint(settings.table, read)) is None
    assert aws.send(table.get_endpoint(settings.table, tenant, read.id)) is None


def test_a_delivery_made_again_stays_as_it_is(aws: Transport, settings: Settings, tenant: str) -> None:
    first = make_delivery(tenant)
    assert aws.send(table.put_delivery(settings.table, first))
    assert not aws.send(table.put_delivery(settings.table, replace(first, body=b"other")))
    assert aws.send(table.get_delivery(settings.table, first.key)) == first


def test_a_try_is_held_by_one_alone(aws: Transport, settings: Settings, tenant: str) -> None:
    read = make_delivery(tenant)
    aws.send(table.put_delivery(settings.table, read))
    begun = aws.send(table.begin_attempt(settings.table, read, now=NOW))
    assert begun is not None
    assert (begun.tries, begun.trying_since, begun.due_at) == (1, NOW, NOW + ATTEMPT_LEASE)
    assert aws.send(table.begin_attempt(settings.table, read, now=NOW)) is None
    assert aws.send(table.get_delivery(settings.table, read.key)) == begun


@pytest.mark.parametrize(
    "end",
    [
        (DeliveryAttempt(NOW, 12, 204), None, DeliveryStatus.DELIVERED),
        (DeliveryAttempt(NOW, 12, 500, "status", "für später"), NOW + MINUTE, DeliveryStatus.PENDING),
        (DeliveryAttempt(NOW, 12, None, "timed-out: no answer"), None, DeliveryStatus.FAILED),
    ],
)
def test_how_a_try_went_is_kept(
    aws: Transport, settings: Settings, tenant: str, end: tuple[DeliveryAttempt, int | None, DeliveryStatus]
) -> None:
    attempt, next_at, status = end
    read = make_delivery(tenant)
    aws.send(table.put_delivery(settings.table, read))
    begun = aws.send(table.begin_attempt(settings.table, read, now=NOW))
    assert begun is not None
    ended = aws.send(table.end_attempt(settings.table, begun, attempt, next_at=next_at))
    assert ended is not None
    assert (ended.status, ended.try_at, ended.trying_since, ended.attempts) == (status, next_at, None, (attempt,))
    # the message that brought it waits for the next attempt, and the sweeper for a message that is lost
    assert (ended.due_at is None) is (next_at is None)
    assert next_at is None or next_at < (ended.due_at or 0) <= next_at + MINUTE
    assert aws.send(table.get_delivery(settings.table, read.key)) == ended


def test_the_ledger_keeps_the_last_attempts(aws: Transport, settings: Settings, tenant: str) -> None:
    attempts = tuple(DeliveryAttempt(NOW + n, 1, 500) for n in range(MAX_ATTEMPTS_KEPT))
    read = replace(make_delivery(tenant), attempts=attempts)
    aws.send(table.put_delivery(settings.table, read))
    last = DeliveryAttempt(NOW + DAY, 1, 200)
    ended = aws.send(table.end_attempt(settings.table, read, last, next_at=None))
    assert ended is not None
    assert ended.attempts == (*attempts[1:], last)


def test_deliveries_are_listed_for_what_they_belong_to(aws: Transport, settings: Settings, tenant: str) -> None:
    mine = [replace(make_delivery(tenant), created_at=NOW + n) for n in range(3)]
    for one in (*reversed(mine), make_delivery(tenant, of="job_2"), make_delivery(tenant, made=NOW + 1)):
        aws.send(table.put_delivery(settings.table, one))
    assert aws.send(table.list_deliveries(settings.table, tenant, "job_1", made=NOW, limit=9)).deliveries == mine


def test_a_delivery_is_due_until_it_has_ended(aws: Transport, settings: Settings, tenant: str) -> None:
    read = make_delivery(tenant)

    def due(now: int) -> bool:
        return any(
            read.key in aws.send(table.due_deliveries(settings.table, shard, now=now, limit=1000)).keys
            for shard in map(ShardKind.DELIVERY.shard, range(SHARDS))
        )

    aws.send(table.put_delivery(settings.table, read))
    assert due(NOW)
    assert not due(NOW - 1)
    begun = aws.send(table.begin_attempt(settings.table, read, now=NOW))
    assert begun is not None
    assert not due(NOW)
    assert due(NOW + ATTEMPT_LEASE)
    aws.send(table.end_attempt(settings.table, begun, DeliveryAttempt(NOW, 1, 200), next_at=None))
    assert not due(NOW + DAY)
