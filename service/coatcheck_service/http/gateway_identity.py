"""Whom API Gateway, or a function URL, vouches for in the event with which it invokes the API's function.

Nothing of this is read from a header. Whoever may invoke the function itself can write any event: that is the gateway
alone (docs/adr/0132).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coatcheck.core.errors import Forbidden, Unauthenticated
from coatcheck.core.ids import TENANT_PATTERN
from coatcheck.core.principal import Principal
from coatcheck.core.sanitize import plain_text, quoted
from coatcheck.core.trust_policy import MAX_SUBJECT_LENGTH
from coatcheck_service.front_door import front_door_of
from coatcheck_service.http.authenticators import trust_policy
from coatcheck_service.identity_sources import IdentitySources

_TENANT = re.compile(TENANT_PATTERN)


async def identify_by_gateway(event: Mapping[str, Any], sources: IdentitySources) -> Principal | None:
    """Return who API Gateway says has sent the request of `event`; None if it does not say.

    Raises Forbidden for a caller inside AWS whom the trust policy does not name, and for a token without a tenant, and
    Unauthenticated for credentials that have expired since the authorizer saw them.
    """
    vouches = front_door_of(event).vouches
    context: Mapping[str, Any] = event.get("requestContext") or {}
    authorizer: Mapping[str, Any] = context.get("authorizer") or {}
    if "iam" in vouches and (arn := _signer(context.get("identity"), authorizer.get("iam"))):
        return await _caller(arn, sources)
    if "authorizer" in vouches and sources.settings.authorizer == "on":
        return read_verdict(authorizer, sources.clock())
    return None


def _signer(*places: object) -> str | None:
    """Return the ARN of who has signed the request: API Gateway names it in `identity`, a function URL in `iam`.

    They do where they take AWS_IAM, from a signature that they have verified. What an authorizer says is text, and no
    `iam` with members.
    """
    arns = (place.get("userArn") for place in places if isinstance(place, Mapping))
    return next((arn for arn in arns if isinstance(arn, str) and arn), None)


async def _caller(arn: str, sources: IdentitySources) -> Principal:
    policy = await trust_policy(sources, sources.clock())
    caller = policy.caller_of(arn)
    if caller is None:
        raise Forbidden(f"The trust policy names no tenant for {quoted(arn)}.")
    scopes = frozenset(map(str, caller.scopes))
    return Principal(caller.tenant, scopes, subject=plain_text(arn, longest=MAX_SUBJECT_LENGTH))


def verdict(principal: Principal) -> dict[str, str | int]:
    """Return what the authorizer tells the API of a principal: API Gateway carries only text and numbers."""
    said = {
        "tenant": principal.tenant,
        "scopes": " ".join(sorted(principal.scopes)),
        "key_id": principal.key_id,
        "subject": principal.subject,
        "expires_at": principal.expires_at,
    }
    return {name: value for name, value in said.items() if value is not None}


def read_verdict(said: Mapping[str, Any], now: int) -> Principal | None:
    """Return the principal in a verdict; None if there is none in it.

    Raises Forbidden if the verdict is that, and Unauthenticated if what it was about has expired. API Gateway keeps a
    verdict, and makes text of its numbers.
    """
    if forbidden := said.get("forbidden"):
        raise Forbidden(str(forbidden))
    tenant, expires_at = said.get("tenant"), said.get("expires_at")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        return None
    if expires_at is not None and now >= int(expires_at):
        raise Unauthenticated("These credentials have expired.")
    scopes = frozenset(str(said.get("scopes", "")).split())
    return Principal(tenant, scopes, said.get("key_id"), said.get("subject"))
