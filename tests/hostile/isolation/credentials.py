"""Every kind of credentials that lets nobody in, and one that lets in but not to this operation."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from coatcheck.core.api_keys import TENANT_SCOPES, Scope
from coatcheck.core.clock import HOUR, MINUTE, system_clock
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from tests.hostile.isolation.operations import Operation

Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class KeyRing:
    """The keys of one tenant: `good` may do everything, `without` all but one scope."""

    good: str
    expired: str
    revoked: str
    unknown: str
    without: Mapping[str, str]
    only_admin: str


def make_key_ring(store: KeyStore, tenant: str) -> KeyRing:
    """Make the keys of a tenant, and one that is of nobody."""
    revoked = store.create(tenant)
    store.revoke(revoked.key.id)
    past = KeyStore(store.aws, store.table, lambda: system_clock() - HOUR)
    nowhere = KeyStore(_Nowhere(), store.table)
    return KeyRing(
        good=store.create(tenant).text,
        expired=past.create(tenant, lifetime=MINUTE).text,
        revoked=revoked.text,
        unknown=nowhere.create(tenant).text,
        without={str(scope): store.create(tenant, scopes=TENANT_SCOPES - {scope}).text for scope in TENANT_SCOPES},
        only_admin=store.create(tenant, scopes=frozenset({Scope.ADMIN})).text,
    )


class _Nowhere:
    """Takes what is written and keeps nothing."""

    def send(self, call: Any) -> Any:
        return call.read({})


def _header(name: str, value: str | bytes) -> Headers:
    return [(name.encode(), value.encode() if isinstance(value, str) else value)]


def _bearer(token: str | bytes) -> Headers:
    return _header("Authorization", b"Bearer " + (token.encode() if isinstance(token, str) else token))


def _other_secret(key: str) -> str:
    return key[:-4] + ("0000" if key[-4:] != "0000" else "1111")


def _jwt(header: Mapping[str, Any], signature: str = "") -> str:
    claims = {"sub": "x", "scope": " ".join(TENANT_SCOPES), "tenant": "victim", "exp": 2**33, "iss": "https://x.test"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, signature])


REFUSED: Mapping[str, Callable[[KeyRing], Headers]] = {
    "none": lambda _: [],
    "an empty header": lambda _: _header("Authorization", ""),
    "no token": lambda _: _header("Authorization", "Bearer"),
    "a comma": lambda _: _header("Authorization", "Bearer ,"),
    "another scheme": lambda keys: _header("Authorization", f"Basic {keys.good}"),
    "no scheme": lambda keys: _header("Authorization", keys.good),
    "an unknown key": lambda keys: _bearer(keys.unknown),
    "another secret": lambda keys: _bearer(_other_secret(keys.good)),
    "cut off": lambda keys: _bearer(keys.good[:-1]),
    "too long": lambda keys: _bearer(keys.good + "0"),
    "in capitals": lambda keys: _bearer(keys.good.upper()),
    "in quotes": lambda keys: _bearer(f'"{keys.good}"'),
    "twice in one header": lambda keys: _bearer(f"{keys.good}, Bearer {keys.good}"),
    "percent-encoded": lambda keys: _bearer(keys.good.replace("_", "%5F")),
    "not ASCII": lambda keys: _bearer(keys.good.encode() + b"\xc3\xa9\xff"),
    "8 KB": lambda _: _bearer("a" * 8192),
    "expired": lambda keys: _bearer(keys.expired),
    "revoked": lambda keys: _bearer(keys.revoked),
    "two headers": lambda keys: _bearer(keys.good) * 2,
    "two headers, one of them wrong": lambda keys: _bearer(keys.unknown) + _bearer(keys.good),
    "X-Api-Key": lambda keys: _header("X-Api-Key", keys.good),
    "a cookie": lambda keys: _header("Cookie", f"Authorization=Bearer {keys.good}; access_token={keys.good}"),
    "what a gateway would add": lambda _: (
        _header("X-Amzn-Authorizer-Tenant", "victim")
        + _header("X-Tenant", "victim")
        + _header("X-Forwarded-User", "victim")
    ),
    "a token without algorithm": lambda _: _bearer(_jwt({"alg": "none"})),
    "a token signed by a guess": lambda _: _bearer(_jwt({"alg": "HS256", "kid": "1"}, "c2ln")),
    "a token whose key is a file": lambda _: _bearer(_jwt({"alg": "HS256", "kid": "../../../../dev/null"}, "c2ln")),
    "a token that brings its key": lambda _: _bearer(_jwt({"alg": "RS256", "jku": "https://x.test/keys"}, "c2ln")),
}
"""Credentials to which every operation but the public ones answers 401, by what is wrong with them."""

OF_TENANTS: Mapping[str, Callable[[KeyRing], Headers]] = {
    "all scopes of a tenant": lambda keys: _bearer(keys.good),
    "a tenant's key that says admin": lambda keys: _bearer(keys.only_admin),
}
"""Good credentials of a tenant: to what operators call, they are none."""

MISSING_SCOPE: Mapping[str, Callable[[KeyRing, Operation], Headers | None]] = {
    "all scopes but the needed one": lambda keys, operation: (
        _bearer(keys.without[operation.scope]) if operation.scope and operation.scope in keys.without else None
    ),
    "only the scope admin": lambda keys, operation: (
        _bearer(keys.only_admin) if operation.scope and operation.scope != Scope.ADMIN else None
    ),
}
"""Good credentials that lack the scope: 403. None where an operation needs no such scope."""


def good(keys: KeyRing) -> Headers:
    """Credentials that may do everything that a tenant can."""
    return _bearer(keys.good)
