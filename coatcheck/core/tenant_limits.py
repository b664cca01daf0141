"""What one tenant may use of a deployment. The owner changes it while the service runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from coatcheck.core.clock import SECOND
from coatcheck.core.priority import Priority

TTL = 30 * SECOND
"""Milliseconds for which a process may use the limits that it has read."""

MIN_RATE = 0.001
MAX_RATE = 100_000
MAX_COUNT = 10**9
MAX_BYTES = 10**15
MAX_TYPES = 100
"""Job types that one tenant may have limits for."""

MAX_WEBHOOK_ENDPOINTS = 200
"""All endpoints of a tenant have to fit in one page of a query."""

MAX_WEBHOOK_TESTS = 100_000

MAX_WAITS = 1_000_000
"""Waits of a minute."""

WEBHOOK_TESTS_PER_HOUR = 100
"""What holds for a tenant without a limit of its own."""


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """The limits of a tenant. None means that the deployment's default holds, where it has one, and else no limit.

    Submits: `submit_rate` is how many a second on average, and `submit_burst` how many at once (without it, those of
    one second, at least one). `jobs_waiting` is how many jobs may be accepted and not started yet.
    Jobs: `jobs_running` is how many may run at once, `jobs_running_by_type` the same for single job types, by their
    names. `priority_max` is the highest priority that a submit may ask for.
    Bytes: `bytes_stored` is how many inputs, results and artifacts in the bucket may have, `upload_bytes_per_day` how
    many uploads may announce in a day (UTC).
    Webhooks: `webhook_endpoints` is how many there may be, `webhook_tests_per_hour` how many pings and resends a client
    may ask for in an hour.
    Waits: `waits_per_minute` is how many requests may wait for their jobs (`Prefer: wait`) in a minute.
    """

    submit_rate: float | None = None
    submit_burst: int | None = None
    jobs_waiting: int | None = None
    jobs_running: int | None = None
    jobs_running_by_type: Mapping[str, int] = field(default_factory=dict)
    priority_max: Priority | None = None
    bytes_stored: int | None = None
    upload_bytes_per_day: int | None = None
    webhook_endpoints: int | None = None
    webhook_tests_per_hour: int | None = None
    waits_per_minute: int | None = None

    @property
    def burst(self) -> int:
        """How many submits may come at once, where there is a rate."""
        return self.submit_burst or max(1, math.ceil(self.submit_rate or 0))

    @property
    def limits_submits(self) -> bool:
        """Whether submits are counted."""
        return any(limit is not None for limit in (self.submit_rate, self.jobs_waiting, self.bytes_stored))

    @property
    def caps_running(self) -> bool:
        """Whether the jobs that run at once are limited."""
        return self.jobs_running is not None or bool(self.jobs_running_by_type)


NO_LIMITS = TenantLimits()
