"""What an API key looks like, and how long it is good."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.api_keys import (
    TENANT_SCOPES,
    USE_NOTED_EVERY,
    ApiKey,
    Scope,
    key_of_digest,
    make_key,
    read_key,
)
from coatcheck.core.ids import is_id

KEY = make_key(lambda n: bytes(range(n)))
NOW = 1_800_000_000_000
STORED = ApiKey(read_key(KEY).id, read_key(KEY).digest, "acme", TENANT_SCOPES, NOW)


def test_a_key_has_its_id_in_it_and_a_secret_of_160_bits() -> None:
    assert KEY == "cck_000g40o40k30e209185go38e1s_000g40o40k30e209185go38e1s8124gj"
    read = read_key(KEY)
    assert (read.id, read.has_id) == ("key_000g40o40k30e209185go38e1s", True)
    assert read.digest == hashlib.sha256(KEY.encode()).digest()
    assert is_id("key", read.id)


@pytest.mark.parametrize(
    "text", ["", "k", KEY[:-1], KEY + "0", KEY.upper(), " " + KEY, KEY + "\n", KEY.replace("_", "-"), "\udcff", "a.b.c"]
)
def test_text_of_any_other_form_has_an_id_that_is_derived_from_its_hash(text: str) -> None:
    read = read_key(text)
    assert not read.has_id
    assert read == key_of_digest(read.digest)
    assert is_id("key", read.id)


def test_only_the_whole_key_matches() -> None:
    assert STORED.matches(read_key(KEY))
    assert not STORED.matches(read_key(KEY[:-1] + "0"))
    assert not STORED.matches(key_of_digest(bytes(32)))
    # nothing else of the code compares hashes
    assert "compare_digest" in inspect.getsource(ApiKey.matches)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires_at": NOW + 1}, "active"),
        ({"expires_at": NOW}, "expired"),
        ({"revoked_at": NOW + 1}, "revoked"),
        ({"revoked_at": NOW - 1, "expires_at": NOW - 1}, "revoked"),
    ],
)
def test_a_key_is_good_until_it_expires_or_is_revoked(changes: dict[str, Any], state: str) -> None:
    assert replace(STORED, **changes).state(NOW) == state


@pytest.mark.parametrize(
    ("last", "news"), [(None, True), (NOW - USE_NOTED_EVERY, True), (NOW - USE_NOTED_EVERY + 1, False), (NOW, False)]
)
def test_a_use_is_worth_a_write_once_an_hour(last: int | None, *, news: bool) -> None:
    assert replace(STORED, last_used_at=last).use_is_news(NOW) is news


def test_neither_a_key_nor_what_a_client_presents_shows_its_hash() -> None:
    for one in (STORED, read_key(KEY)):
        assert str(one.digest) not in repr(one)
        assert one.digest.hex() not in repr(one)


def test_a_tenant_never_gets_the_scope_of_the_owner() -> None:
    assert Scope.ADMIN not in TENANT_SCOPES
    assert len(TENANT_SCOPES) == len(Scope) - 1
