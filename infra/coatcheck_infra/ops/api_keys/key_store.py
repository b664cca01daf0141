"""The API keys of a deployment, as its owner changes them in the table."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from coatcheck.aws_transport.protocols import Transport
from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.api_keys import (
    KIND,
    OPERATOR_KIND,
    OPERATOR_PREFIX,
    PREFIX,
    TENANT_SCOPES,
    ApiKey,
    is_operators,
    key_of_digest,
    make_key,
    read_key,
)
from coatcheck.core.audit import AuditRecord
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.dynamodb.key_items import add_imported, end_key, get_key, list_keys, put_key, revoke_key
from coatcheck.core.clock import system_clock
from coatcheck.core.ids import is_id
from coatcheck.core.sanitize import quoted

IMPORTED = "imported"
"""The name of a key that came from the setting."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key: what the table has of it, and the key itself, which nobody can show again."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyStore:
    """The keys in `table`. `clock` returns milliseconds since the epoch, `entropy(n)` returns n random bytes.

    Every call may raise AwsError.
    """

    aws: Transport
    table: str
    clock: Callable[[], int] = system_clock
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def create(
        self, tenant: str, *, scopes: frozenset[str] = TENANT_SCOPES, name: str = "", lifetime: int | None = None
    ) -> IssuedKey:
        """Create a key of a tenant, or an operator's if `tenant` is empty. It expires after `lifetime` milliseconds."""
        text, now = make_key(self.entropy, prefix=PREFIX if tenant else OPERATOR_PREFIX), self.clock()
        presented = read_key(text)
        expires_at = None if lifetime is None else now + lifetime
        key = ApiKey(presented.id, presented.digest, tenant, scopes, now, name, expires_at)
        self._put(key)
        return IssuedKey(key, text)

    def find(self, key_id: str) -> ApiKey:
        """Return a key. Raises InvalidArgumentError if there is none."""
        key = self.aws.send(get_key(self.table, key_id)) if _is_key_id(key_id) else None
        if key is None:
            raise _no_key(key_id)
        return key

    def all_keys(self) -> Iterator[ApiKey]:
        """Yield all keys, those of operators first, in the order of their ids."""
        for operators in (True, False):
            page = self.aws.send(list_keys(self.table, operators=operators))
            yield from page.keys
            while page.next:
                page = self.aws.send(list_keys(self.table, operators=operators, after=page.next))
                yield from page.keys

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key. Raises InvalidArgumentError if there is none."""
        call = audited(revoke_key(self.table, key_id, now=self.clock()), _change("key.revoked"))
        revoked = self.aws.send(call) if _is_key_id(key_id) else None
        if revoked is None:
            raise _no_key(key_id)
        return revoked

    def create_successor(self, key_id: str) -> IssuedKey:
        """Create a key that allows what this one does, and lives as long as this one was meant to.

        Raises InvalidArgumentError for a key that is not there or not active.
        """
        old = self.find(key_id)
        if (state := old.state(self.clock())) != "active":
            raise InvalidArgumentError(f"{key_id} is {state}: create a new key for {owner_of(old)}")
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        return self.create(old.tenant, scopes=old.scopes, name=old.name, lifetime=lifetime)

    def end(self, key_id: str, *, after: int) -> ApiKey:
        """Let a key expire after that many milliseconds, unless it does so earlier. Raises InvalidArgumentError."""
        call = end_key(self.table, key_id, expires_at=self.clock() + after)
        return self.aws.send(audited(call, _change("key.end_set"))) or self.find(key_id)

    def import_keys(self, tenants: Mapping[str, str]) -> list[ApiKey]:
        """Take over keys of the setting, from the SHA-256 of each in hex to its tenant. It may be done twice."""
        presented = {digest: key_of_digest(bytes.fromhex(digest)) for digest in tenants}
        now = self.clock()
        keys = [
            ApiKey(one.id, one.digest, tenants[digest], TENANT_SCOPES, now, IMPORTED)
            for digest, one in presented.items()
        ]
        for key in keys:
            self._put(key)
        if keys:
            self.aws.send(add_imported(self.table, [key.id for key in keys]))
        return keys

    def _put(self, key: ApiKey) -> None:
        self.aws.send(audited(put_key(self.table, key), lambda is_new: _change("key.created")(key if is_new else None)))


def _change(action: str) -> Callable[[ApiKey | None], AuditRecord | None]:
    """What the audit log says of a key that was changed; None if there was no such key."""
    return lambda key: AuditRecord(action=action, tenant=key.tenant or None, target=key.id) if key else None


def owner_of(key: ApiKey) -> str:
    """Whose key it is: a tenant's, or an operator's."""
    return "an operator" if is_operators(key.id) else key.tenant


def _is_key_id(given: str) -> bool:
    return is_id(KIND, given) or is_id(OPERATOR_KIND, given)


def _no_key(key_id: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"there is no key {quoted(key_id)}: see `coatcheck keys list`")
