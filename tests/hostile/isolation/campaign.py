"""One run of the isolation matrix, on a service and an emulator of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from coatcheck.core.clock import system_clock
from coatcheck_infra.ops.api_keys.key_store import KeyStore
from tests.aws import emulators
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.hostile.isolation.credentials import KeyRing, make_key_ring
from tests.hostile.isolation.matrix import Asker, Row, rows
from tests.hostile.isolation.operations import Operation, operations
from tests.hostile.isolation.victim import Names, Victim, make_victim


@dataclass(frozen=True)
class Campaign:
    """What there is, and what was answered. `before` and `after` are what the victim had stored."""

    operations: Sequence[Operation]
    victim: Victim
    attacker: Api
    keys: KeyRing
    rows: Sequence[Row]
    before: str
    after: str

    @property
    def unchanged(self) -> bool:
        """Whether the victim still has what it had."""
        return self.before == self.after


@contextmanager
def run_campaign(scratch: Path) -> Iterator[Campaign]:
    """Ask for every cell of the matrix; the service runs until the block ends."""
    with ExitStack() as stack:
        endpoint_url = stack.enter_context(emulators.ministack(scratch))
        settings, worker = emulators.deployment_on(endpoint_url), emulators.connect(endpoint_url)
        # a clock that stands still: what the service has looked up once, it keeps
        now = system_clock()
        running = stack.enter_context(run_service(settings, worker, endpoint_url, clock=lambda: now))
        attacked, attacker = (stack.enter_context(clients_of(running)) for _ in range(2))
        http = stack.enter_context(httpx.Client(base_url=running.url, trust_env=False, timeout=60))
        victim = make_victim(attacked)
        keys = make_key_ring(KeyStore(worker, running.settings.table), attacker.tenant)
        found = operations(http.get("/openapi.json").json())
        before = victim.stored()
        cells = list(rows(Asker(attacker, http), found, victim.things, keys, _own(attacker)))
        yield Campaign(found, victim, attacker, keys, cells, before, victim.stored())


def _own(api: Api) -> Names:
    """A job that is done and an endpoint, both the attacker's own."""
    endpoint = api.http.post("/v1/webhook-endpoints", json={"url": "https://example.com/own"}).json()["id"]
    return {"job_id": api.finished().id, "endpoint_id": endpoint}
