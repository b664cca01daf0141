"""What authentication costs: `python -m bench.authentication [REQUESTS]`.

One app in this process, on an emulator, answers the same request with each kind of credentials, and without any
authentication. The kinds take turns in small rounds, so that what else the machine does meets all of them. What counts
is processor time, as a ratio to the request without authentication; and the requests to AWS.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]
from fastapi import FastAPI, Request
from joserfc.jwk import ECKey

from coatcheck.core.aws.dynamodb.trust_items import put_trust_policy
from coatcheck.core.trust_policy import TrustPolicy
from coatcheck_infra.local import environment
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_service.app import create_app
from coatcheck_service.front_door import UVICORN
from coatcheck_service.http.authenticated import authenticated
from coatcheck_service.http.authentication import RequestContext, dependencies_of
from tests.aws import emulators
from tests.example_jobs import CATALOG
from tests.oidc_issuer import AUDIENCE, KEYS, OidcIssuer, claims_of, new_rsa_key, public_keys, run_issuer, sign
from tests.transports import AsyncFaultyTransport

TENANT = "bench"
PATH = "/v1/job-types/demo.sleep"
ROUND = 20
"""Requests of one kind before the next has its turn."""

ROLE = "arn:aws:iam::123456789012:role/bench"
SESSION = "arn:aws:sts::123456789012:assumed-role/bench/one"


@dataclass
class Kind:
    """One kind of credentials: a header, or what API Gateway's event says."""

    name: str
    header: str | None = None
    context: Mapping[str, Any] | None = None
    checked: bool = True
    rounds: list[float] = field(default_factory=list)

    def scope(self) -> dict[str, Any]:
        """The request, as a server gives it to the app."""
        headers = [(b"host", b"bench")] + ([(b"authorization", self.header.encode())] if self.header else [])
        event = {"aws.event": {"requestContext": self.context}} if self.context else {}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "server": ("bench", 80),
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            **event,
        }


@dataclass(frozen=True)
class Cost:
    """Processor time of a request in microseconds, its ratio to one without authentication, and requests to AWS."""

    name: str
    microseconds: float
    ratio: float
    first: Sequence[str]
    later: int


async def answer(app: FastAPI, scope: Mapping[str, Any]) -> None:
    """Serve one request. Raises RuntimeError unless it succeeds."""
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        statuses.append(message.get("status", 200))

    await app(dict(scope), receive, send)
    if set(statuses) != {200}:
        raise RuntimeError(f"answered {statuses}")


async def measure(app: FastAPI, spy: AsyncFaultyTransport, kinds: Sequence[Kind], requests: int) -> list[Cost]:
    """Serve `requests` of each kind, in rounds."""

    async def without_authentication(request: Request) -> RequestContext:
        return RequestContext(TENANT, "http://bench", dependencies_of(request))

    async def serve(kind: Kind, count: int) -> float:
        app.dependency_overrides = {} if kind.checked else {authenticated: without_authentication}
        scope = kind.scope()
        began = time.process_time()
        for _ in range(count):
            await answer(app, scope)
        return (time.process_time() - began) / count

    first: dict[str, Sequence[str]] = {}
    later: dict[str, int] = {}
    for kind in kinds:
        spy.calls.clear()
        await serve(kind, 1)
        first[kind.name] = list(spy.operations)
    spy.calls.clear()
    for _ in range(max(1, requests // ROUND)):
        for kind in kinds:
            before = len(spy.calls)
            kind.rounds.append(await serve(kind, ROUND))
            later[kind.name] = later.get(kind.name, 0) + len(spy.calls) - before
    base = statistics.median(kinds[0].rounds)
    medians = {kind.name: statistics.median(kind.rounds) for kind in kinds}
    return [Cost(name, median * 1e6, median / base, first[name], later[name]) for name, median in medians.items()]


def prepared(issuer: OidcIssuer, keys: KeyStore) -> list[Kind]:
    """Make the credentials of each kind. The first is the request without authentication."""
    ec = ECKey.generate_key("P-256", {"kid": "ec"})
    issuer.documents[KEYS] = public_keys(issuer.key, ec)
    rules = {
        "issuers": [{"issuer": issuer.url, "audiences": [AUDIENCE]}],
        "callers": [{"arn": ROLE, "tenant": TENANT}],
    }
    keys.aws.send(put_trust_policy(keys.table, TrustPolicy.parse(json.dumps(rules))))
    claims = claims_of(issuer.url, tenant=TENANT, exp=int(time.time()) + 3600)
    verdict = {"tenant": TENANT, "scopes": "jobs:read jobs:submit", "key_id": "key_1"}
    return [
        Kind("no authentication", checked=False),
        Kind("API key", f"Bearer {keys.create(TENANT).text}"),
        Kind("token, RS256", f"Bearer {sign(claims, issuer.key)}"),
        Kind("token, ES256", f"Bearer {sign(claims, ec, 'ES256')}"),
        Kind("the authorizer's verdict", "Bearer seen-before", {"authorizer": verdict}),
        Kind("AWS signature", None, {"identity": {"userArn": SESSION}}),
    ]


def run(requests: int) -> list[Cost]:
    """Measure on an emulator."""
    with (
        tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as scratch,
        emulators.ministack(Path(scratch)) as url,
        run_issuer(new_rsa_key("rsa")) as issuer,
    ):
        settings = emulators.deployment_on(url).model_copy(update={"authorizer": "on"})
        kinds = prepared(issuer, KeyStore(emulators.connect(url), settings.table))
        session = aioboto3.Session(environment.ACCESS_KEY, environment.SECRET_KEY, region_name=environment.REGION)

        async def measured() -> list[Cost]:
            spy = AsyncFaultyTransport(AioBotoTransport(url, session))
            try:
                return await measure(create_app(settings, CATALOG, spy, UVICORN), spy, kinds, requests)
            finally:
                await spy.aclose()

        return asyncio.run(measured())


def main(requests: int) -> None:
    """Print one line for each kind."""
    print(f"{'credentials':26}{'µs':>8}{'ratio':>8}  requests to AWS: the first, then {requests} more")  # noqa: T201
    for cost in run(requests):
        sent = ", ".join(cost.first) or "none"
        print(f"{cost.name:26}{cost.microseconds:8.0f}{cost.ratio:8.2f}  {sent}; then {cost.later}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
