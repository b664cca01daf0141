"""Authenticators: each knows one kind of credentials, and says whose they are.

A request goes through `AUTHENTICATORS` in their order. The first that knows the kind decides: it returns a principal or
raises Unauthenticated. None says that the kind is another's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey, PresentedKey, read_key
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb.key_items import get_imported, get_key, note_use
from coatcheck.core.aws.dynamodb.trust_items import get_trust_policy
from coatcheck.core.errors import Unauthenticated
from coatcheck.core.principal import Principal
from coatcheck.core.trust_policy import TrustPolicy
from coatcheck_service.identity_sources import IdentitySources

log = logging.getLogger(__name__)

UNKNOWN = "The API key is unknown."
OPERATORS = "This is the key of an operator, which opens the routes under /v1/admin alone."

MAX_TOKEN_LENGTH = 8192
"""Characters of a JSON Web Token. API Gateway takes 10,240 bytes of headers in all."""

_POSSIBLE_KEY = re.compile(r"[!-~]{1,512}")
# a JWS in compact form, whose header is a JSON object
_POSSIBLE_JWT = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

Authenticator: TypeAlias = Callable[[str, IdentitySources], Awaitable[Principal | None]]


async def identify(token: str, sources: IdentitySources) -> Principal:
    """Return whose a bearer token is. Raises Unauthenticated, Forbidden, and Unavailable if that is not known now."""
    for authenticator in AUTHENTICATORS:
        if principal := await authenticator(token, sources):
            return principal
    raise Unauthenticated(UNKNOWN)


async def key_of_settings(token: str, sources: IdentitySources) -> Principal | None:
    """Know the keys of COATCHECK_API_KEYS, which may do all that their tenants can."""
    if not sources.settings.api_keys:
        return None
    presented = read_key(token)
    # compared by their digests: how long a look-up takes says nothing of a key
    tenant = sources.settings.api_keys.get(presented.digest.hex())
    return None if tenant is None else Principal(tenant, TENANT_SCOPES)


async def json_web_token(token: str, sources: IdentitySources) -> Principal | None:
    """Know the tokens of the issuers that the trust policy names, where it names any."""
    if not _POSSIBLE_JWT.fullmatch(token):
        return None
    now = sources.clock()
    policy = await trust_policy(sources, now)
    if not policy.issuers:
        return None
    if len(token) > MAX_TOKEN_LENGTH:
        raise Unauthenticated(f"The token is longer than {MAX_TOKEN_LENGTH} characters.")
    if principal := sources.trust.verified(token, now):
        return principal
    # slow to import, and few deployments have issuers
    from coatcheck_service.json_web_tokens import read_token, verify_token  # noqa: PLC0415

    unverified = read_token(token)
    issuer = policy.issuer_of(unverified.issuer)
    if issuer is None:
        raise Unauthenticated("The issuer of the token is not trusted here.")
    if unverified.algorithm not in issuer.algorithms:
        raise Unauthenticated(f"The token is not signed with {' or '.join(issuer.algorithms)}.")
    key = await sources.trust.keys_of(issuer).get(unverified.key_id, now=now)
    if key is None:
        raise Unauthenticated("The token is signed with a key that its issuer does not publish.")
    principal = verify_token(unverified, key, issuer, now=now)
    sources.trust.note_verified(token, principal, now)
    return principal


async def trust_policy(sources: IdentitySources, now: int) -> TrustPolicy:
    """Return whom the API trusts besides its keys."""
    return await sources.trust.policy(now=now, read=lambda: sources.transport.send(get_trust_policy(sources.table)))


async def key_of_table(token: str, sources: IdentitySources) -> Principal | None:
    """Know the keys of the table. What cannot be a key costs no read, and neither does a key that was just seen."""
    presented = read_key(token)
    if presented.is_operators:
        raise Unauthenticated(OPERATORS)
    if not _POSSIBLE_KEY.fullmatch(token) or not await _may_exist(presented, sources):
        raise Unauthenticated(UNKNOWN)
    key = await active_key(presented, sources)
    return Principal(key.tenant, key.scopes, key.id)


async def active_key(presented: PresentedKey, sources: IdentitySources) -> ApiKey:
    """Return the key of the table that was presented, and record its use. Raises Unauthenticated and Unavailable."""
    now = sources.clock()
    key = await sources.api_keys.get(
        presented.id, now=now, read=lambda: sources.transport.send(get_key(sources.table, presented.id))
    )
    if key is None or not key.matches(presented):
        raise Unauthenticated(UNKNOWN)
    if (state := key.state(now)) != "active":
        raise Unauthenticated(f"The API key is {state}.")
    if sources.api_keys.note_use(key.id, now=now):
        await _record_use(key, sources, now)
    return key


AUTHENTICATORS: Sequence[Authenticator] = (key_of_settings, json_web_token, key_of_table)


async def _may_exist(presented: PresentedKey, sources: IdentitySources) -> bool:
    """Whether a look-up is worth a read: of keys of another form, all are known that were ever imported."""
    if presented.has_id:
        return True
    imported = await sources.api_keys.imported(
        now=sources.clock(), read=lambda: sources.transport.send(get_imported(sources.table))
    )
    return presented.id in imported


async def _record_use(key: ApiKey, sources: IdentitySources, now: int) -> None:
    """Write the last use. A request does not fail for it."""
    try:
        await sources.transport.send(note_use(sources.table, key.id, now=now))
    except AwsError as error:
        log.warning("the last use of %s is not recorded: %s", key.id, error)
