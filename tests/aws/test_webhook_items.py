"""Endpoints and deliveries in the table, on both emulators."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from coatcheck.clock import DAY, MINUTE
from coatcheck.deployment import Deployment
from coatcheck.ids import make_id
from coatcheck.table import webhooks as table
from coatcheck.table.keys import SHARDS, ShardKind
from coatcheck.webhooks import (
    EVENTS,
    MOST_ATTEMPTS_KEPT,
    TRY_LEASE,
    Attempt,
    Delivery,
    DeliveryKey,
    DeliveryStatus,
    Endpoint,
)
from worker.aws import Boto

NOW = 1_800_000_000_000


def an_endpoint(tenant: str, created_at: int = NOW) -> Endpoint:
    made = make_id("whe", secrets.token_bytes(16))
    return Endpoint(tenant, made, "https://example.org/hook", EVENTS[1:], created_at, description="für uns")


def a_delivery(tenant: str, of: str = "job_1", made: int = NOW) -> Delivery:
    key = DeliveryKey(tenant, of, made, make_id("dlv", secrets.token_bytes(16)))
    return Delivery(
        key, "evt_1", "job.failed", "whe_1", "https://example.org/", b'{"a": 1}', NOW, NOW + DAY, due_at=NOW
    )


def test_an_endpoint_comes_back_as_it_was_put_and_only_to_its_tenant(
    aws: Boto, deployment: Deployment, tenant: str
) -> None:
    one, two = an_endpoint(tenant, NOW + 1), an_endpoint(tenant)
    assert aws.send(table.put_endpoint(deployment.table, one))
    assert aws.send(table.put_endpoint(deployment.table, two))
    assert not aws.send(table.put_endpoint(deployment.table, one))
    assert aws.send(table.get_endpoint(deployment.table, tenant, one.id)) == one
    assert aws.send(table.list_endpoints(deployment.table, tenant)) == [two, one]
    assert aws.send(table.get_endpoint(deployment.table, f"{tenant}x", one.id)) is None
    assert aws.send(table.list_endpoints(deployment.table, f"{tenant}x")) == []


def test_of_two_changes_to_an_endpoint_at_once_one_is_made(aws: Boto, deployment: Deployment, tenant: str) -> None:
    read = an_endpoint(tenant)
    aws.send(table.put_endpoint(deployment.table, read))
    changed = aws.send(table.update_endpoint(deployment.table, replace(read, enabled=False, failures=3)))
    assert changed == replace(read, enabled=False, failures=3, version=2)
    assert aws.send(table.update_endpoint(deployment.table, replace(read, description="late"))) is None
    assert aws.send(table.get_endpoint(deployment.table, tenant, read.id)) == changed


def test_an_endpoint_that_was_deleted_stays_away(aws: Boto, deployment: Deployment, tenant: str) -> None:
    read = an_endpoint(tenant)
    aws.send(table.put_endpoint(deployment.table, read))
    assert aws.send(table.delete_endpoint(deployment.table, tenant, read.id))
    assert not aws.send(table.delete_endpoint(deployment.table, tenant, read.id))
    assert aws.send(table.update_endpoint(deployment.table, read)) is None
    assert aws.send(table.get_endpoint(deployment.table, tenant, read.id)) is None


def test_a_delivery_made_again_stays_as_it_is(aws: Boto, deployment: Deployment, tenant: str) -> None:
    first = a_delivery(tenant)
    assert aws.send(table.put_delivery(deployment.table, first))
    assert not aws.send(table.put_delivery(deployment.table, replace(first, body=b"other")))
    assert aws.send(table.get_delivery(deployment.table, first.key)) == first


def test_a_try_is_held_by_one_alone(aws: Boto, deployment: Deployment, tenant: str) -> None:
    read = a_delivery(tenant)
    aws.send(table.put_delivery(deployment.table, read))
    begun = aws.send(table.begin_try(deployment.table, read, now=NOW))
    assert begun is not None
    assert (begun.tries, begun.trying_since, begun.due_at) == (1, NOW, NOW + TRY_LEASE)
    assert aws.send(table.begin_try(deployment.table, read, now=NOW)) is None
    assert aws.send(table.get_delivery(deployment.table, read.key)) == begun


@pytest.mark.parametrize(
    "end",
    [
        (Attempt(NOW, 12, 204), None, DeliveryStatus.DELIVERED),
        (Attempt(NOW, 12, 500, "status", "für später"), NOW + MINUTE, DeliveryStatus.PENDING),
        (Attempt(NOW, 12, None, "timed-out: no answer"), None, DeliveryStatus.FAILED),
    ],
)
def test_how_a_try_went_is_kept(
    aws: Boto, deployment: Deployment, tenant: str, end: tuple[Attempt, int | None, DeliveryStatus]
) -> None:
    attempt, next_at, status = end
    read = a_delivery(tenant)
    aws.send(table.put_delivery(deployment.table, read))
    begun = aws.send(table.begin_try(deployment.table, read, now=NOW))
    assert begun is not None
    ended = aws.send(table.end_try(deployment.table, begun, attempt, next_at=next_at))
    assert ended is not None
    assert (ended.status, ended.try_at, ended.trying_since, ended.attempts) == (status, next_at, None, (attempt,))
    # the message that brought it waits for the next attempt, and the sweeper for a message that is lost
    assert (ended.due_at is None) is (next_at is None)
    assert next_at is None or next_at < (ended.due_at or 0) <= next_at + MINUTE
    assert aws.send(table.get_delivery(deployment.table, read.key)) == ended


def test_the_ledger_keeps_the_last_attempts(aws: Boto, deployment: Deployment, tenant: str) -> None:
    attempts = tuple(Attempt(NOW + n, 1, 500) for n in range(MOST_ATTEMPTS_KEPT))
    read = replace(a_delivery(tenant), attempts=attempts)
    aws.send(table.put_delivery(deployment.table, read))
    last = Attempt(NOW + DAY, 1, 200)
    ended = aws.send(table.end_try(deployment.table, read, last, next_at=None))
    assert ended is not None
    assert ended.attempts == (*attempts[1:], last)


def test_deliveries_are_listed_for_what_they_belong_to(aws: Boto, deployment: Deployment, tenant: str) -> None:
    mine = [replace(a_delivery(tenant), created_at=NOW + n) for n in range(3)]
    for one in (*reversed(mine), a_delivery(tenant, of="job_2"), a_delivery(tenant, made=NOW + 1)):
        aws.send(table.put_delivery(deployment.table, one))
    assert aws.send(table.list_deliveries(deployment.table, tenant, "job_1", made=NOW, limit=9)).deliveries == mine


def test_a_delivery_is_due_until_it_has_ended(aws: Boto, deployment: Deployment, tenant: str) -> None:
    read = a_delivery(tenant)

    def due(now: int) -> bool:
        return any(
            read.key in aws.send(table.due_deliveries(deployment.table, shard, now=now, limit=1000)).keys
            for shard in map(ShardKind.DELIVERY.shard, range(SHARDS))
        )

    aws.send(table.put_delivery(deployment.table, read))
    assert due(NOW)
    assert not due(NOW - 1)
    begun = aws.send(table.begin_try(deployment.table, read, now=NOW))
    assert begun is not None
    assert not due(NOW)
    assert due(NOW + TRY_LEASE)
    aws.send(table.end_try(deployment.table, begun, Attempt(NOW, 1, 200), next_at=None))
    assert not due(NOW + DAY)
