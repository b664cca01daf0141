"""Operators: the limits of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coatcheck.core.api.limit_models import LimitsView, limits_view
from coatcheck.core.aws.dynamodb import limit_items
from coatcheck_service.http.authentication import RequestContext


async def read_limits(context: RequestContext) -> LimitsView:
    """Return the limits of the tenant as they are now."""
    dependencies, tenant = context.dependencies, context.tenant
    return limits_view(tenant, await dependencies.transport.send(limit_items.get_limits(dependencies.table, tenant)))


async def change_limits(context: RequestContext, changes: Mapping[str, Any]) -> LimitsView:
    """Change the limits that `changes` names; None removes one. Other processes notice within half a minute."""
    dependencies, tenant = context.dependencies, context.tenant
    try:
        after = await dependencies.transport.send(limit_items.change_limits(dependencies.table, tenant, changes))
    finally:
        # a write whose reply was lost may have been made
        dependencies.limits.invalidate(tenant)
    return limits_view(tenant, after)
