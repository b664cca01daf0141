"""API keys in the table, on both emulators."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.api_keys import USE_NOTED_EVERY, ApiKey, Scope, make_key, read_key
from coatcheck.core.aws.dynamodb import key_items as table
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.settings import Settings
from coatcheck_infra.local.resources import client
from tests.released_items import ADDED

NOW = 1_800_000_000_000


@pytest.fixture
def key(aws: Transport, settings: Settings, tenant: str) -> ApiKey:
    """A key that is in the table."""
    made = read_key(make_key(secrets.token_bytes))
    key = ApiKey(made.id, made.digest, tenant, frozenset({Scope.JOBS_READ, "later:scope"}), NOW, "für uns")
    assert aws.send(table.put_key(settings.table, key))
    return key


def stored(aws: Transport, settings: Settings, key: ApiKey) -> ApiKey | None:
    return aws.send(table.get_key(settings.table, key.id))


def test_a_key_comes_back_as_it_was_put_and_is_put_once(aws: Transport, settings: Settings, key: ApiKey) -> None:
    assert stored(aws, settings, key) == key
    assert not aws.send(table.put_key(settings.table, replace(key, tenant="another")))
    assert stored(aws, settings, key) == key
    assert stored(aws, settings, replace(key, id=f"{key.id}0")) is None


def test_the_item_holds_the_hash_and_no_secret(aws: Transport, settings: Settings, tenant: str) -> None:
    text = make_key(secrets.token_bytes)
    read = read_key(text)
    put = table.put_key(settings.table, ApiKey(read.id, read.digest, tenant, frozenset(), NOW))
    aws.send(put)
    assert text.rpartition("_")[2] not in str(put.params["Item"])


def test_a_key_that_was_revoked_stays_so_and_keeps_the_time(aws: Transport, settings: Settings, key: ApiKey) -> None:
    revoked = replace(key, revoked_at=NOW + 1)
    for at in (NOW + 1, NOW + 2):
        assert aws.send(table.revoke_key(settings.table, key.id, now=at)) == revoked
    assert stored(aws, settings, key) == revoked
    assert aws.send(table.revoke_key(settings.table, f"{key.id}0", now=NOW)) is None
    assert stored(aws, settings, replace(key, id=f"{key.id}0")) is None


def test_the_end_of_a_key_only_comes_nearer(aws: Transport, settings: Settings, key: ApiKey) -> None:
    for at, ends in ((NOW + 5, NOW + 5), (NOW + 9, None), (NOW + 3, NOW + 3)):
        ended = aws.send(table.end_key(settings.table, key.id, expires_at=at))
        assert (ended and ended.expires_at) == ends
    assert stored(aws, settings, key) == replace(key, expires_at=NOW + 3)


def test_the_last_use_is_written_once_an_hour(aws: Transport, settings: Settings, key: ApiKey) -> None:
    for at, last in ((NOW, NOW), (NOW + 1, NOW), (NOW + USE_NOTED_EVERY, NOW + USE_NOTED_EVERY)):
        written = aws.send(table.note_use(settings.table, key.id, now=at))
        assert bool(written) is (at == last)
        assert stored(aws, settings, key) == replace(key, last_used_at=last)
    assert aws.send(table.note_use(settings.table, f"{key.id}0", now=NOW)) is None


def test_all_keys_are_listed_a_page_at_a_time(aws: Transport, settings: Settings, key: ApiKey, tenant: str) -> None:
    more = [replace(key, id=read_key(make_key(secrets.token_bytes)).id) for _ in range(3)]
    for one in more:
        aws.send(table.put_key(settings.table, one))
    aws.send(table.add_imported(settings.table, ["key_imported"]))
    page = aws.send(table.list_keys(settings.table))
    found = [one for one in page.keys if one.tenant == tenant]
    assert sorted(found, key=lambda one: one.id) == sorted([key, *more], key=lambda one: one.id)
    assert page.next is None
    first = min((key, *more), key=lambda one: one.id)
    after = table.list_keys(settings.table, after=table.get_key(settings.table, first.id).params["Key"])
    assert first not in aws.send(after).keys
    assert {one.id for one in (*more, key)} - {first.id} <= {one.id for one in aws.send(after).keys}


def test_the_ids_of_imported_keys_are_added_up(aws: Transport, settings: Settings, tenant: str) -> None:
    before = aws.send(table.get_imported(settings.table))
    for ids in ([f"key_{tenant}1", f"key_{tenant}2"], [f"key_{tenant}2", f"key_{tenant}3"]):
        aws.send(table.add_imported(settings.table, ids))
    assert aws.send(table.get_imported(settings.table)) == before | {f"key_{tenant}{n}" for n in (1, 2, 3)}


def test_what_a_newer_version_adds_to_a_key_is_kept(
    aws: Transport, settings: Settings, key: ApiKey, emulator_url: str
) -> None:
    dynamodb, put = client("dynamodb", emulator_url), table.put_key(settings.table, key).params
    dynamodb.put_item(TableName=settings.table, Item=put["Item"] | ADDED)
    assert stored(aws, settings, key) == key
    aws.send(table.note_use(settings.table, key.id, now=NOW))
    aws.send(table.end_key(settings.table, key.id, expires_at=NOW))
    aws.send(table.revoke_key(settings.table, key.id, now=NOW))
    item = dynamodb.get_item(TableName=settings.table, Key=table.get_key(settings.table, key.id).params["Key"])["Item"]
    assert ADDED.items() <= item.items()


def test_a_key_that_only_newer_versions_may_read_is_left_alone(
    aws: Transport, settings: Settings, key: ApiKey, emulator_url: str
) -> None:
    dynamodb, put = client("dynamodb", emulator_url), table.put_key(settings.table, key).params
    dynamodb.put_item(TableName=settings.table, Item=put["Item"] | {"schema": {"N": "2"}})
    with pytest.raises(NewerRow):
        stored(aws, settings, key)
    assert key not in aws.send(table.list_keys(settings.table)).keys
    assert aws.send(table.revoke_key(settings.table, key.id, now=NOW)) is None
    assert aws.send(table.note_use(settings.table, key.id, now=NOW)) is None
