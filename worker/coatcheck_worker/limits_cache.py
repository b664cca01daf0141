"""The limits of tenants, as they were read a while ago: a worker asks for them with each job."""

from __future__ import annotations

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.limit_items import get_limits
from coatcheck.core.expiring_map import ExpiringMap
from coatcheck.core.tenant_limits import TTL, TenantLimits

MAX_TENANTS = 10_000


class LimitsCache:
    """The limits of the tenants whose jobs came last. It may be used from several threads."""

    def __init__(self) -> None:
        self._known: ExpiringMap[str, TenantLimits] = ExpiringMap(TTL, MAX_TENANTS)

    def get(self, transport: Transport, table: str, tenant: str, *, now: int) -> TenantLimits:
        """The limits of a tenant, at most `TTL` old. Raises AwsError and NewerRow when they have to be read."""
        limits = self._known.fresh(tenant, now)
        if limits is None:
            limits = transport.send(get_limits(table, tenant))
            self._known.store(tenant, limits, now)
        return limits
