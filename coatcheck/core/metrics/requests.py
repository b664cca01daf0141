"""What a request to the API tells."""

from __future__ import annotations

from coatcheck.core.metrics.definitions import REQUEST_TIME, REQUESTS, TENANT_REQUESTS
from coatcheck.core.metrics.recorder import record

NO_ENDPOINT = "none"
"""Stands for all paths and methods that there are not: clients choose them, and a dimension has to be bounded."""

CLIENT_LEFT = 499


def request_answered(
    *, method: str, route: str | None, status: int | None, tenant: str | None, seconds: float | None
) -> None:
    """Record a request. `route` is the template of its path, as `/v1/jobs/{job_id}`; None if there is no such endpoint.

    `seconds` until the first byte of the answer; None if it says nothing of the service, as it waited on purpose.
    """
    endpoint = NO_ENDPOINT if route is None else f"{method} {route}"
    status_class = "499" if status == CLIENT_LEFT else f"{(status or 500) // 100}xx"
    record(REQUESTS, 1, endpoint, status_class)
    if tenant is not None:
        record(TENANT_REQUESTS, 1, tenant, status_class)
    if seconds is not None:
        record(REQUEST_TIME, seconds, endpoint, status_class)
