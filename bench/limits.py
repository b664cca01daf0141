"""What limits cost a submit: `python -m bench.limits [SUBMITS]`.

One app in this process, on an emulator, takes submits of a tenant without limits and of tenants with some. They take
turns in small rounds, so that what else the machine does meets all of them. What counts is processor time, as a ratio
to the submit without limits; and the requests to AWS.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]
from fastapi import FastAPI

from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck_infra.local import environment
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from tests.aws import emulators
from tests.example_jobs import CATALOG
from tests.transports import AsyncFaultyTransport

BODY = json.dumps({"type": "demo.sleep", "input": {"seconds": 0}, "delay": 86_400}).encode()
ROUND = 20
"""Submits of one tenant before the next has its turn."""

LIMITS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "rate": {"submit_rate": 100_000},
    "rate, waiting, bytes": {"submit_rate": 100_000, "jobs_waiting": 10**9, "bytes_stored": 10**15},
}


@dataclass
class Tenant:
    """A tenant with these limits, and its submits."""

    name: str
    key: str
    rounds: list[float] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def scope(self) -> dict[str, Any]:
        """A submit, as a server gives it to the app."""
        headers = {"host": "bench", "authorization": f"Bearer {self.key}", "content-type": "application/json"}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "server": ("bench", 80),
            "path": "/v1/jobs",
            "raw_path": b"/v1/jobs",
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }


async def submit(app: FastAPI, tenant: Tenant) -> None:
    """Submit one job. Raises RuntimeError unless it is accepted."""
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        statuses.append(message.get("status", 202))

    await app(tenant.scope(), receive, send)
    if set(statuses) != {202}:
        raise RuntimeError(f"answered {statuses}")


async def measure(app: FastAPI, spy: AsyncFaultyTransport, tenants: Sequence[Tenant], submits: int) -> None:
    """Take `submits` submits of each tenant, in rounds. The first of each, which reads what is cached, is left out."""
    for tenant in tenants:
        await submit(app, tenant)
    for _ in range(max(1, submits // ROUND)):
        for tenant in tenants:
            spy.calls.clear()
            began = time.process_time()
            for _ in range(ROUND):
                await submit(app, tenant)
            tenant.rounds.append((time.process_time() - began) / ROUND)
            tenant.sent.update(spy.operations)


def run(submits: int) -> Sequence[Tenant]:
    """Measure on an emulator."""
    with tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as scratch, emulators.ministack(Path(scratch)) as url:
        settings, aws = emulators.deployment_on(url), emulators.connect(url)
        keys = KeyStore(aws, settings.table)
        tenants = []
        for number, (name, limits) in enumerate(LIMITS.items()):
            tenants.append(Tenant(name, keys.create(f"bench-{number}").text))
            if limits:
                aws.send(change_limits(settings.table, f"bench-{number}", limits))
        session = aioboto3.Session(environment.ACCESS_KEY, environment.SECRET_KEY, region_name=environment.REGION)

        async def measured() -> None:
            spy = AsyncFaultyTransport(AioBotoTransport(url, session))
            try:
                await measure(create_app(settings, CATALOG, spy, UVICORN), spy, tenants, submits)
            finally:
                await spy.aclose()

        asyncio.run(measured())
        return tenants


def main(submits: int) -> None:
    """Print one line for each tenant."""
    tenants = run(submits)
    base = statistics.median(tenants[0].rounds)
    print(f"{'limits':24}{'µs':>8}{'ratio':>8}  requests to AWS for {submits} submits")  # noqa: T201
    for tenant in tenants:
        median = statistics.median(tenant.rounds)
        sent = ", ".join(f"{name} {count}" for name, count in sorted(tenant.sent.items()))
        print(f"{tenant.name:24}{median * 1e6:8.0f}{median / base:8.2f}  {sent}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
