"""Lets the API keys of `up` in: puts them into the table, as hashes."""

from __future__ import annotations

from collections.abc import Mapping

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey, read_key
from coatcheck.core.aws.dynamodb.key_items import add_imported, get_key, list_keys, put_key, revoke_key
from coatcheck_infra.local.home import TENANT, Home
from coatcheck_infra.local.resources import session
from coatcheck_infra.local.stack_context import StackContext
from coatcheck_infra.local.up_error import UpError
from coatcheck_worker.boto_transport import BotoTransport

NAME = "coatcheck up"


def store_api_keys(stack: StackContext, table: str, now: int) -> None:
    """Put the keys of the stack's tenants into its table. Raises UpError if one of them was revoked there."""
    transport = BotoTransport(session(stack.emulator.credentials), endpoint_url=stack.emulator.url)
    put_keys(transport, table, stack.api_keys, stack.home, now)


def put_keys(transport: Transport, table: str, keys: Mapping[str, str], home: Home, now: int) -> None:
    """Put keys, by their tenants, into a table; what stands there stays. Other keys of `up` are revoked.

    Raises UpError for a key that was revoked.
    """
    own = {read_key(text).id for text in keys.values()}
    for key in transport.send(list_keys(table)).keys:
        if key.name == NAME and key.id not in own:
            transport.send(revoke_key(table, key.id, now=now))
    for tenant, text in keys.items():
        presented = read_key(text)
        key = ApiKey(presented.id, presented.digest, tenant, TENANT_SCOPES, now, NAME)
        if not transport.send(put_key(table, key)):
            _require_active(transport.send(get_key(table, key.id)), tenant, home, now)
        if not presented.has_id:
            # made by an earlier version
            transport.send(add_imported(table, [key.id]))


def _require_active(key: ApiKey | None, tenant: str, home: Home, now: int) -> None:
    if key is not None and (state := key.state(now)) != "active":
        file = home.api_key_file if tenant == TENANT else home.api_keys_file
        raise UpError(f"the key of tenant {tenant} in {file} is {state}: delete this file, and up makes another")
