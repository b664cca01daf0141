"""The operations of the commands: they find the deployment, change its keys and print the results."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from coatcheck.cli import display
from coatcheck.client.exceptions import InvalidArgumentError
from coatcheck.core.api_keys import MAX_NAME_LENGTH, OPERATOR_SCOPES, TENANT_SCOPES, ApiKey, OperatorScope
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.clock import DAY, HOUR, SECOND, rfc3339
from coatcheck.core.ids import TENANT_PATTERN
from coatcheck.core.sanitize import plain_text, quoted
from coatcheck_infra.ops.api_keys.key_store import IssuedKey, KeyStore, owner_of
from coatcheck_infra.ops.error_reports import report_errors
from coatcheck_infra.ops.target_deployment import TargetDeployment, find_deployment
from coatcheck_service.api_key_cache import TTL

COLUMNS = ("id", "tenant", "name", "scopes", "created", "expires", "last used", "state")

_SCOPE_SETS: Mapping[frozenset[str], str] = MappingProxyType(
    {TENANT_SCOPES: "all of a tenant", OPERATOR_SCOPES: "all of an operator"}
)


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """The key that `create` is asked for. `days` is how long it lives, None for ever."""

    tenant: str | None
    scopes: frozenset[str]
    name: str
    days: float | None
    operator: bool = False
    read_only: bool = False

    def granted(self) -> frozenset[str]:
        """Return the scopes of the key."""
        if self.operator:
            return frozenset({OperatorScope.READ}) if self.read_only else OPERATOR_SCOPES
        return self.scopes or TENANT_SCOPES

    def check(self) -> None:
        """Raise InvalidArgumentError for what is wrong with the request."""
        if self.operator == (self.tenant is not None):
            raise InvalidArgumentError("name the TENANT of the key, or give --operator: an operator has no tenant")
        if self.scopes and self.operator:
            raise InvalidArgumentError("--scope is for tenants' keys; an operator's may be --read-only")
        if self.read_only and not self.operator:
            raise InvalidArgumentError("--read-only is for operators' keys; use --scope jobs:read")
        if self.tenant is not None and not re.fullmatch(TENANT_PATTERN, self.tenant):
            raise InvalidArgumentError(f"{quoted(self.tenant)} cannot be a tenant: use 1 to 64 of A-Z a-z 0-9 _ -")
        if plain_text(self.name, longest=MAX_NAME_LENGTH) != self.name or not self.name.isprintable():
            raise InvalidArgumentError(f"--name: use up to {MAX_NAME_LENGTH} printable characters")


def create(stack: str | None, asked: KeyRequest, *, as_json: bool) -> None:
    """Create a key and print it. Raises CoatcheckError, and typer.Exit after it has reported an error of AWS."""
    asked.check()
    lifetime = None if asked.days is None else round(asked.days * DAY)
    with _key_store(stack) as store:
        issued = store.create(asked.tenant or "", scopes=asked.granted(), name=asked.name, lifetime=lifetime)
    _show(issued, store.clock(), as_json=as_json)


def list_keys(stack: str | None, tenant: str | None, *, every: bool, as_json: bool) -> None:
    """Print the keys, the oldest first. Raises as `create` does."""
    with _key_store(stack) as store:
        now = store.clock()
        found = [key for key in store.all_keys() if tenant in {None, key.tenant}]
    shown = sorted((key for key in found if every or key.state(now) == "active"), key=lambda key: key.created_at)
    if as_json:
        display.print_json_lines(to_json(key, now) for key in shown)
    elif shown:
        display.print_table(COLUMNS, [table_row(key, now) for key in shown])
    if not shown:
        display.print_message("no keys" if every or not found else "no active keys; for the others, --all")


def revoke(stack: str | None, key_ids: Sequence[str]) -> None:
    """Revoke keys, one after the other. Raises as `create` does."""
    with _key_store(stack) as store:
        for key_id in key_ids:
            key = store.revoke(key_id)
            print(f"revoked {key.id} of {owner_of(key)}; it is refused everywhere in {TTL // SECOND} s", flush=True)


def rotate(stack: str | None, key_id: str, *, hours: float, as_json: bool) -> None:
    """Create a key in place of another, and print it. Raises as `create` does."""
    with _key_store(stack) as store:
        # shown before the old key gets its end: whatever fails then, there is a key that works
        _show(store.create_successor(key_id), store.clock(), as_json=as_json)
        old = store.end(key_id, after=round(hours * HOUR))
    display.print_message(f"{old.id} works until {_time(old.expires_at)}")


def import_keys(stack: str | None) -> None:
    """Copy the keys of the settings into the table. Raises as `create` does."""
    with _deployment(stack) as target:
        tenants = target.settings.api_keys
        if not tenants:
            raise InvalidArgumentError(
                "there is nothing to import: ApiKeys, or COATCHECK_API_KEYS, is empty or not there"
            )
        for key in KeyStore(target.aws, target.settings.table).import_keys(tenants):
            print(f"{key.id} is a key of {key.tenant}", flush=True)


def to_json(key: ApiKey, now: int) -> dict[str, Any]:
    """Return what may be known of a key. That is neither the key nor its hash."""
    return {
        "id": key.id,
        "tenant": key.tenant or None,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": rfc3339(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "last_used_at": _time(key.last_used_at),
        "state": key.state(now),
    }


def table_row(key: ApiKey, now: int) -> list[object]:
    """Return a key as one row under `COLUMNS`."""
    scopes = _SCOPE_SETS.get(key.scopes) or " ".join(sorted(key.scopes))
    times = (rfc3339(key.created_at), _time(key.expires_at), _time(key.last_used_at))
    return [key.id, owner_of(key), key.name, scopes, *times, key.state(now)]


@contextmanager
def _deployment(stack: str | None) -> Iterator[TargetDeployment]:
    with report_errors("keys"):
        try:
            yield find_deployment(stack, os.environ, Path.cwd())
        except NewerRow as error:
            raise InvalidArgumentError(f"{error}: use the command of that version") from None


@contextmanager
def _key_store(stack: str | None) -> Iterator[KeyStore]:
    with _deployment(stack) as target:
        yield KeyStore(target.aws, target.settings.table)


def _show(issued: IssuedKey, now: int, *, as_json: bool) -> None:
    """Print the key alone, so that a script can take it, and what else is to be said to people."""
    if as_json:
        display.print_json_lines([{"key": issued.text, **to_json(issued.key, now)}])
        return
    print(issued.text, flush=True)
    expires = f", until {_time(issued.key.expires_at)}" if issued.key.expires_at else ""
    display.print_message(f"{issued.key.id} of {owner_of(issued.key)}{expires}; keep the key, it is not shown again")


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
