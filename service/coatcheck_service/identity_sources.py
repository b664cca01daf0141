"""What it takes to find out whose credentials are. The authorizer has this much, and nothing else of the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import Settings
from coatcheck_service.api_key_cache import ApiKeyCache
from coatcheck_service.trust_cache import TrustCache


@dataclass(frozen=True, slots=True)
class IdentitySources:
    """The keys and the trust policy, and the way to the table. `clock` returns milliseconds since the epoch."""

    settings: Settings
    transport: AsyncTransport
    clock: Callable[[], int] = system_clock
    api_keys: ApiKeyCache = field(default_factory=ApiKeyCache)
    trust: TrustCache = field(default_factory=TrustCache)

    @property
    def table(self) -> str:
        """The table's name."""
        return self.settings.table
