"""What every request of this process shares."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from coatcheck.deployment import Deployment
from coatcheck.types import Catalog
from service.aws import Aws
from service.front_door import FrontDoor
from service.offload import Offload
from service.subscriptions import Subscriptions
from service.waits import Waits
from service.webhook_key import WebhookKey


def system_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Tools:
    """The service's tools. `clock` tells milliseconds since the epoch, `entropy` gives so many random bytes."""

    deployment: Deployment
    catalog: Catalog
    aws: Aws
    front_door: FrontDoor
    clock: Callable[[], int] = system_clock
    entropy: Callable[[int], bytes] = secrets.token_bytes
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    webhook_key: WebhookKey = field(default_factory=WebhookKey)
    waits: Waits = field(default_factory=Waits)
    offload: Offload = field(default_factory=Offload)

    @property
    def table(self) -> str:
        """The table's name."""
        return self.deployment.table

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.deployment.bucket
