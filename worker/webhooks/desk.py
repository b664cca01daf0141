"""What all deliveries of one process share."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self
from urllib.parse import urlsplit

from coatcheck.deployment import Deployment
from coatcheck.secrets_manager import get_secret
from coatcheck.signature import derive_secret
from coatcheck.table.webhooks import get_endpoint
from coatcheck.targets import Targets
from coatcheck.webhooks import JOBS_ENDPOINT, Attempt, Delivery, Endpoint, endpoint_id_for
from worker.tools import Tools
from worker.webhooks.attempts import Sender


class Attempts(Protocol):
    """Who makes attempts: a `Sender`, or in the simulation one that sends nothing."""

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[Attempt, int | None]:
        """As `Sender.attempt`."""


@dataclass(slots=True)
class Desk:
    """Reads the deployment's key once, and an endpoint for each attempt: it may have a new secret, or be no more."""

    tools: Tools
    sender: Attempts
    _key: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, tools: Tools, environ: Mapping[str, str]) -> Self:
        """The desk of a process that runs in `environ`."""
        return cls(tools, Sender(targets_of(tools.deployment, environ.get("AWS_LAMBDA_RUNTIME_API"))))

    def endpoint(self, delivery: Delivery) -> Endpoint | None:
        """The endpoint that a delivery goes to; None if it was deleted. Raises AwsError."""
        if of_a_job(delivery):
            return self._of_jobs(delivery)
        return self._read(delivery.key.tenant, delivery.endpoint)

    def _of_jobs(self, delivery: Delivery) -> Endpoint:
        """The endpoint that stands for all URLs that jobs bring along, as if it were for this one."""
        tenant = delivery.key.tenant
        found = self._read(tenant, JOBS_ENDPOINT)
        generation, rotated_at = (found.generation, found.rotated_at) if found else (1, None)
        return Endpoint(
            tenant, JOBS_ENDPOINT, delivery.url, (), created_at=0, generation=generation, rotated_at=rotated_at
        )

    def secrets(self, endpoint: Endpoint) -> list[str]:
        """What its events are signed by now, the newest first. Raises AwsError."""
        with self._lock:
            self._key = self._key or self.tools.aws.send(get_secret(self.tools.deployment.webhook_key))
        generations = endpoint.generations(self.tools.clock())
        return [derive_secret(self._key, endpoint.tenant, endpoint.id, str(one)) for one in generations]

    def _read(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        return self.tools.aws.send(get_endpoint(self.tools.deployment.table, tenant, endpoint_id))


def of_a_job(delivery: Delivery) -> bool:
    """Whether it goes to a URL that its job brought along, and not to an endpoint."""
    return delivery.endpoint == endpoint_id_for(delivery.key.tenant, delivery.url)


def targets_of(deployment: Deployment, runtime_api: str | None) -> Targets:
    """Where webhooks may go, which is never the service itself. `runtime_api` is Lambda's own, "host:port"."""
    own = urlsplit(deployment.public_url)
    refused = [*deployment.refused_hosts, *([runtime_api] if runtime_api else [])]
    if deployment.webhook_targets == "public":
        return Targets.public(*refused, *filter(None, [own.hostname]))
    port = own.port or {"http": 80, "https": 443}.get(own.scheme)
    host = f"[{own.hostname}]" if own.hostname and ":" in own.hostname else own.hostname
    # on one machine the service and the receivers share a host
    return Targets.local(*refused, *([f"{host}:{port}"] if host else []))
