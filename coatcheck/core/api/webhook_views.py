"""Endpoints and deliveries as clients are shown them. Pure."""

from __future__ import annotations

from typing import Any

from coatcheck.core.api.webhook_models import AttemptView, DeliveryView, EndpointView, EndpointWithSecret
from coatcheck.core.clock import rfc3339
from coatcheck.core.webhooks import JOBS_ENDPOINT, Delivery, DeliveryAttempt, WebhookEndpoint, endpoint_id_for


def endpoint_view(endpoint: WebhookEndpoint) -> EndpointView:
    """An endpoint, without its secret."""
    return EndpointView(**_settings(endpoint))


def endpoint_with_secret(endpoint: WebhookEndpoint, secret: str) -> EndpointWithSecret:
    """An endpoint and its secret: only for the answers to create and rotate."""
    return EndpointWithSecret(**_settings(endpoint), secret=secret)


def delivery_view(delivery: Delivery) -> DeliveryView:
    """A delivery with its attempts."""
    next_at = delivery.next_attempt_at if delivery.trying_since is None else None
    return DeliveryView(
        id=delivery.key.id,
        webhook_id=delivery.event_id,
        endpoint=_endpoint_of(delivery),
        url=delivery.url,
        event=delivery.event,
        status=delivery.status,
        next_attempt_at=None if next_at is None else rfc3339(next_at),
        attempts=[_attempt_view(attempt) for attempt in delivery.attempts],
    )


def _settings(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "created_at": rfc3339(endpoint.created_at),
    }


def _endpoint_of(delivery: Delivery) -> str:
    """The endpoint as clients know it: they cannot read the internal one of a URL that a job names."""
    brought = delivery.endpoint == endpoint_id_for(delivery.key.tenant, delivery.url)
    return JOBS_ENDPOINT if brought else delivery.endpoint


def _attempt_view(attempt: DeliveryAttempt) -> AttemptView:
    return AttemptView(
        at=rfc3339(attempt.at),
        status_code=attempt.status_code,
        error=attempt.error,
        latency_ms=attempt.latency,
        response=attempt.response,
    )
