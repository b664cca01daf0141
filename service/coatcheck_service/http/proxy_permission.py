"""Whether API Gateway may make the jobs of a caller by itself (docs/adr/0163).

It knows no limits and no webhooks. So it may only where there are none, and the ordinary path is for all others.
"""

from __future__ import annotations

import logging

from coatcheck.core.api_keys import Scope
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import limit_items, webhook_items
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.clock import SECOND
from coatcheck.core.principal import Principal
from coatcheck.core.tenant_limits import NO_LIMITS
from coatcheck.core.webhooks import JOBS_ENDPOINT
from coatcheck_service.identity_sources import IdentitySources

log = logging.getLogger(__name__)

VERDICT_TTL = 30 * SECOND
"""For how long API Gateway keeps what the authorizer says: `authorizerResultTtlInSeconds` of authorizer.yaml."""


async def may_use_proxy(principal: Principal, sources: IdentitySources) -> bool:
    """Whether the caller may submit, and outlasts the verdict, and its tenant has neither limits nor endpoints.

    What cannot be known now is no.
    """
    if Scope.JOBS_SUBMIT not in principal.scopes:
        return False
    if principal.expires_at is not None and principal.expires_at < sources.clock() + VERDICT_TTL:
        return False
    try:
        limits = await sources.transport.send(limit_items.get_limits(sources.table, principal.tenant))
        endpoints = await sources.transport.send(webhook_items.list_endpoints(sources.table, principal.tenant))
    except (AwsError, NewerRow) as error:
        log.warning("tenant %s has to use the ordinary path for now: %s", principal.tenant, error)
        return False
    return limits == NO_LIMITS and all(one.id == JOBS_ENDPOINT for one in endpoints)
