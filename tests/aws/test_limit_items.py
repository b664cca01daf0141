"""The limits of tenants in the table, on both emulators."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb import limit_items
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.priority import Priority
from coatcheck.core.settings import Settings
from coatcheck.core.tenant_limits import NO_LIMITS, TenantLimits
from coatcheck_infra.local.resources import client
from tests.released_items import ADDED

ALL = TenantLimits(
    submit_rate=0.125,
    submit_burst=20,
    jobs_waiting=0,
    jobs_running=2,
    jobs_running_by_type={"demo.sleep": 1, "demo.echo": 0},
    priority_max=Priority.NORMAL,
    bytes_stored=10**15,
    upload_bytes_per_day=10**12,
    webhook_endpoints=0,
    webhook_tests_per_hour=5,
    waits_per_minute=6,
)


def stored(aws: Transport, settings: Settings, tenant: str) -> TenantLimits:
    return aws.send(limit_items.get_limits(settings.table, tenant))


def test_limits_come_back_as_they_were_set(aws: Transport, settings: Settings, tenant: str) -> None:
    assert stored(aws, settings, tenant) == NO_LIMITS
    assert aws.send(limit_items.change_limits(settings.table, tenant, asdict(ALL))) == ALL
    assert stored(aws, settings, tenant) == ALL
    assert all(value not in (None, {}) for value in asdict(ALL).values())


def test_a_change_is_of_what_it_names_alone(aws: Transport, settings: Settings, tenant: str) -> None:
    for changes, left in (
        ({"submit_rate": 5}, TenantLimits(submit_rate=5)),
        ({"jobs_running": 1, "jobs_running_by_type": {"a": 1}}, TenantLimits(5, None, None, 1, {"a": 1})),
        ({"submit_rate": None, "jobs_running_by_type": {}}, TenantLimits(jobs_running=1)),
        ({"jobs_running": None}, NO_LIMITS),
    ):
        assert aws.send(limit_items.change_limits(settings.table, tenant, changes)) == left
        assert stored(aws, settings, tenant) == left


def test_tenants_with_limits_are_listed_a_page_at_a_time(aws: Transport, settings: Settings, tenant: str) -> None:
    tenants = [f"{tenant}{letter}" for letter in "abc"]
    for one in tenants:
        aws.send(limit_items.change_limits(settings.table, one, {"jobs_waiting": 3}))
    aws.send(limit_items.change_limits(settings.table, tenants[1], {"jobs_waiting": None}))
    found = aws.send(limit_items.list_limits(settings.table)).limits
    assert {one: found.get(one) for one in tenants} == {
        tenants[0]: TenantLimits(jobs_waiting=3),
        tenants[1]: None,
        tenants[2]: TenantLimits(jobs_waiting=3),
    }
    first = limit_items.get_limits(settings.table, tenants[0]).params["Key"]
    rest = aws.send(limit_items.list_limits(settings.table, after=first)).limits
    assert tenants[0] not in rest
    assert tenants[2] in rest


def test_what_a_newer_version_adds_is_kept(aws: Transport, settings: Settings, tenant: str, emulator_url: str) -> None:
    dynamodb, get = client("dynamodb", emulator_url), limit_items.get_limits(settings.table, tenant).params
    dynamodb.put_item(TableName=settings.table, Item=get["Key"] | ADDED)
    assert aws.send(limit_items.change_limits(settings.table, tenant, asdict(ALL))) == ALL
    assert aws.send(limit_items.change_limits(settings.table, tenant, asdict(NO_LIMITS))) == NO_LIMITS
    assert ADDED.items() <= dynamodb.get_item(TableName=settings.table, Key=get["Key"])["Item"].items()


def test_limits_that_only_newer_versions_may_read_are_left_alone(
    aws: Transport, settings: Settings, tenant: str, emulator_url: str
) -> None:
    dynamodb, get = client("dynamodb", emulator_url), limit_items.get_limits(settings.table, tenant).params
    item = get["Key"] | {"schema": {"N": "2"}, "jobs_waiting": {"S": "few"}}
    dynamodb.put_item(TableName=settings.table, Item=item)
    with pytest.raises(NewerRow):
        stored(aws, settings, tenant)
    with pytest.raises(NewerRow):
        aws.send(limit_items.change_limits(settings.table, tenant, {"jobs_waiting": 1}))
    assert tenant not in aws.send(limit_items.list_limits(settings.table)).limits
    assert dynamodb.get_item(TableName=settings.table, Key=get["Key"])["Item"] == item
