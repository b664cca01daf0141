"""API keys: what one looks like, what it may do, and how long it is good.

The service keeps no key, only its SHA-256. That is enough: the secret in a key has 160 random bits, so nobody can find
it by trying, however fast the hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from coatcheck.core.clock import HOUR
from coatcheck.core.ids import make_id

PREFIX = "cck"
"""What every key begins with, so that a scanner for secrets can find one in code or in a log."""

OPERATOR_PREFIX = "cco"
"""What the keys of operators begin with: they belong to no tenant, and open the routes of operators alone."""

KIND = "key"
"""The prefix of the ids of keys."""

OPERATOR_KIND = "opk"
"""The prefix of the ids of operators' keys."""

_KINDS: Mapping[str, str] = MappingProxyType({PREFIX: KIND, OPERATOR_PREFIX: OPERATOR_KIND})

SECRET_BYTES = 20

MAX_NAME_LENGTH = 100

USE_NOTED_EVERY = HOUR
"""Milliseconds between two writes of a key's last use."""

_KEY = re.compile(rf"({'|'.join(_KINDS)})_([0-9a-v]{{26}})_[0-9a-v]{{32}}")


class Scope(StrEnum):
    """What a key may do."""

    JOBS_SUBMIT = "jobs:submit"
    JOBS_READ = "jobs:read"
    RESULTS_READ = "results:read"
    JOBS_CANCEL = "jobs:cancel"
    WEBHOOKS_MANAGE = "webhooks:manage"
    ADMIN = "admin"


class OperatorScope(StrEnum):
    """What the key of an operator may do."""

    READ = "admin:read"
    WRITE = "admin:write"


OPERATOR_SCOPES: frozenset[str] = frozenset(OperatorScope)
"""All that an operator can do."""

TENANT_SCOPES: frozenset[str] = frozenset(Scope) - {Scope.ADMIN}
"""All that a tenant can do with what is its own."""


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """What a client presented: the id by which the key is looked up, and the SHA-256 of the whole key.

    `has_id` is false for a key of another form, as owners made them before keys had ids. Its id is derived from it.
    """

    id: str
    digest: bytes = field(repr=False)
    has_id: bool = True

    @property
    def is_operators(self) -> bool:
        """Whether it has the form of an operator's key."""
        return is_operators(self.id)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the table has it. Times are in milliseconds since the epoch; scopes may be of a newer version.

    `tenant` is empty for the key of an operator, which has no tenant.
    """

    id: str
    digest: bytes = field(repr=False)
    tenant: str
    scopes: frozenset[str]
    created_at: int
    name: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    def matches(self, presented: PresentedKey) -> bool:
        """Whether it is this key that was presented, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(self.digest, presented.digest)

    def state(self, now: int) -> str:
        """Return `active`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "active"

    def use_is_news(self, now: int) -> bool:
        """Whether a use at `now` is worth a write."""
        return self.last_used_at is None or now - self.last_used_at >= USE_NOTED_EVERY


def is_operators(key_id: str) -> bool:
    """Whether an id is that of an operator's key."""
    return key_id.startswith(f"{OPERATOR_KIND}_")


def make_key(entropy: Callable[[int], bytes], *, prefix: str = PREFIX) -> str:
    """Return a new key, an operator's with `OPERATOR_PREFIX`. `entropy(n)` returns n random bytes."""
    key_id = make_id(KIND, entropy(16)).removeprefix(f"{KIND}_")
    return f"{prefix}_{key_id}_{_base32(entropy(SECRET_BYTES))}"


def read_key(text: str) -> PresentedKey:
    """Return what a key says of itself. Text of any other form is taken for a key from before keys had ids."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    found = _KEY.fullmatch(text)
    return PresentedKey(f"{_KINDS[found[1]]}_{found[2]}", digest) if found else key_of_digest(digest)


def key_of_digest(digest: bytes) -> PresentedKey:
    """Return the key of another form that has this SHA-256."""
    return PresentedKey(make_id(KIND, digest[:16]), digest, has_id=False)


def _base32(data: bytes) -> str:
    return base64.b32hexencode(data).decode().rstrip("=").lower()
