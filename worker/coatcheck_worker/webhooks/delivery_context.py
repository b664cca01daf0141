"""The context that all deliveries of one process share."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self
from urllib.parse import urlsplit

from coatcheck.core.aws.dynamodb.webhook_items import get_endpoint
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.webhook_key import WebhookKey, endpoint_secret
from coatcheck.core.settings import Settings
from coatcheck.core.ssrf import SsrfPolicy
from coatcheck.core.webhooks import JOBS_ENDPOINT, Delivery, DeliveryAttempt, WebhookEndpoint, endpoint_id_for
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.webhooks.sender import HttpWebhookSender


class WebhookSender(Protocol):
    """Makes attempts: an `HttpWebhookSender`, or in the simulation one that sends nothing."""

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        """As `HttpWebhookSender.attempt`."""


@dataclass(slots=True)
class DeliveryContext:
    """Reads the deployment's key once, and the endpoint for each attempt: it may be deleted or have a new secret."""

    dependencies: Dependencies
    sender: WebhookSender
    webhook_key: WebhookKey = field(default_factory=WebhookKey)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, dependencies: Dependencies, environ: Mapping[str, str]) -> Self:
        """The delivery context of a process that runs in `environ`."""
        return cls(
            dependencies, HttpWebhookSender(targets_of(dependencies.settings, environ.get("AWS_LAMBDA_RUNTIME_API")))
        )

    def endpoint(self, delivery: Delivery) -> WebhookEndpoint | None:
        """The endpoint that a delivery goes to; None if it was deleted. Raises AwsError."""
        if is_for_job_url(delivery):
            return self._job_url_endpoint(delivery)
        return self._read(delivery.key.tenant, delivery.endpoint)

    def _job_url_endpoint(self, delivery: Delivery) -> WebhookEndpoint:
        """The endpoint that stands for the URLs of all jobs, with the URL of this delivery."""
        tenant = delivery.key.tenant
        found = self._read(tenant, JOBS_ENDPOINT)
        generation, rotated_at = (found.generation, found.rotated_at) if found else (1, None)
        return WebhookEndpoint(
            tenant, JOBS_ENDPOINT, delivery.url, (), created_at=0, generation=generation, rotated_at=rotated_at
        )

    def secrets(self, endpoint: WebhookEndpoint) -> list[str]:
        """The secrets that sign its events now, the newest first. Raises AwsError."""
        with self._lock:
            key = run(self.dependencies.transport, self.webhook_key.read(self.dependencies.settings.webhook_key))
        generations = endpoint.generations(self.dependencies.clock())
        return [endpoint_secret(key, endpoint, one) for one in generations]

    def _read(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        return self.dependencies.transport.send(get_endpoint(self.dependencies.settings.table, tenant, endpoint_id))


def is_for_job_url(delivery: Delivery) -> bool:
    """Whether the delivery goes to its job's own URL, and not to an endpoint."""
    return delivery.endpoint == endpoint_id_for(delivery.key.tenant, delivery.url)


def targets_of(settings: Settings, runtime_api: str | None) -> SsrfPolicy:
    """Where webhooks may go, but never the service itself. `runtime_api` is that of Lambda, as "host:port"."""
    own = urlsplit(settings.public_url)
    refused = [*settings.refused_hosts, *([runtime_api] if runtime_api else [])]
    if settings.webhook_targets == "public":
        return SsrfPolicy.public(*refused, *filter(None, [own.hostname]))
    port = own.port or {"http": 80, "https": 443}.get(own.scheme)
    host = f"[{own.hostname}]" if own.hostname and ":" in own.hostname else own.hostname
    # on one machine the service and the receivers share a host
    return SsrfPolicy.local(*refused, *([f"{host}:{port}"] if host else []))
