"""The objects that all requests of this process share."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from coatcheck.authoring.types import Catalog
from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.clock import system_clock
from coatcheck.core.flows.webhook_key import WebhookKey
from coatcheck.core.settings import WEBHOOKS, BadSettings, Settings
from coatcheck_service.front_door import FrontDoor
from coatcheck_service.identity_sources import IdentitySources
from coatcheck_service.job_feed import JobFeed
from coatcheck_service.limits_cache import BucketMemory, LimitsCache
from coatcheck_service.offload import Offload
from coatcheck_service.subscription_cache import SubscriptionCache
from coatcheck_service.tenant_feed import TenantFeeds
from coatcheck_service.tenant_slots import TenantSlots


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The service's dependencies.

    `clock` returns milliseconds since the epoch, `entropy(n)` returns n random bytes. Raises BadSettings when a job
    type's lane has no queue, or is the lane of the webhooks.
    """

    settings: Settings
    catalog: Catalog
    transport: AsyncTransport
    front_door: FrontDoor
    clock: Callable[[], int] = system_clock
    entropy: Callable[[int], bytes] = secrets.token_bytes
    limits: LimitsCache = field(default_factory=LimitsCache)
    submit_buckets: BucketMemory = field(default_factory=BucketMemory)
    subscriptions: SubscriptionCache = field(default_factory=SubscriptionCache)
    webhook_key: WebhookKey = field(default_factory=WebhookKey)
    long_poll_slots: TenantSlots = field(default_factory=TenantSlots)
    stream_slots: TenantSlots = field(default_factory=TenantSlots)
    offload: Offload = field(default_factory=Offload)
    job_feed: JobFeed = field(default_factory=JobFeed)
    tenant_feeds: TenantFeeds = field(default_factory=TenantFeeds)

    identities: IdentitySources = field(init=False)

    def __post_init__(self) -> None:
        _check_lanes(self.settings, self.catalog)
        object.__setattr__(self, "identities", IdentitySources(self.settings, self.transport, self.clock))

    @property
    def table(self) -> str:
        """The table's name."""
        return self.settings.table

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.settings.bucket

    def close_feeds(self) -> None:
        """End all streams: the process is about to end."""
        self.job_feed.close()
        self.tenant_feeds.close()


def _check_lanes(settings: Settings, catalog: Catalog) -> None:
    for job_type in catalog.values():
        if job_type.lane == WEBHOOKS:
            raise BadSettings(f"the lane {WEBHOOKS} of {job_type.name} is reserved: give the job type another")
        if job_type.lane not in settings.lanes:
            raise BadSettings(f"COATCHECK_QUEUES: has no queue for lane {job_type.lane} of {job_type.name}")
