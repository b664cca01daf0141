"""A service whose clock a test moves, and a tenant whose limits it changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb import limit_items
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import Settings
from coatcheck.core.tenant_limits import TTL
from tests.aws.service.running_service import Api, clients_of, run_service


@dataclass
class Clock:
    """Shows one time until it is moved. In milliseconds."""

    now: int

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class LimitedApi:
    """The service as a tenant with limits sees it."""

    api: Api
    clock: Clock

    def limit(self, **changes: Any) -> None:
        """Change limits of the tenant, and let the time pass after which they hold."""
        stores = self.api.running_service
        stores.worker.send(limit_items.change_limits(stores.settings.table, self.api.tenant, changes))
        self.clock.now += TTL


@contextmanager
def limited_api(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[LimitedApi]:
    """A service with a clock of its own, until the block ends."""
    clock = Clock(system_clock())
    with run_service(settings, aws, emulator_url, clock=clock) as running_service, clients_of(running_service) as api:
        yield LimitedApi(api, clock)
