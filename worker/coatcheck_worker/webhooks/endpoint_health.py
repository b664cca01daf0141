"""The health of an endpoint, and what follows from it. The decisions are pure; `record_health` writes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from coatcheck.core.audit import AuditRecord, record
from coatcheck.core.aws.dynamodb.webhook_items import get_endpoint, update_endpoint
from coatcheck.core.webhooks import DISABLE_AFTER, WebhookEndpoint, cooldown_after
from coatcheck_worker.dependencies import Dependencies

log = logging.getLogger(__name__)

GONE_REASON = "answered 410 Gone"
FAILED_FOR_DAYS = "failed for five days"

MAX_WRITES = 5
"""Tries to write to an endpoint that others change at the same time. The next attempt writes again."""


def after_success(endpoint: WebhookEndpoint, _: int) -> WebhookEndpoint:
    """The endpoint after it accepted an event."""
    return replace(endpoint, failures=0, failing_since=None, resting_until=None)


def after_failure(endpoint: WebhookEndpoint, now: int) -> WebhookEndpoint:
    """The endpoint after it did not accept an event: it is paused, or disabled."""
    failures, since = endpoint.failures + 1, endpoint.failing_since or now
    rest = cooldown_after(failures)
    failed = replace(
        endpoint, failures=failures, failing_since=since, resting_until=now + rest if rest else endpoint.resting_until
    )
    return _disabled(failed, FAILED_FOR_DAYS) if now - since >= DISABLE_AFTER else failed


def after_gone(endpoint: WebhookEndpoint, _: int) -> WebhookEndpoint:
    """The endpoint after it answered that it is gone."""
    return _disabled(endpoint, GONE_REASON)


def _disabled(endpoint: WebhookEndpoint, reason: str) -> WebhookEndpoint:
    return replace(endpoint, enabled=False, disabled_reason=reason) if endpoint.enabled else endpoint


def record_health(
    dependencies: Dependencies, attempted: WebhookEndpoint, change: Callable[[WebhookEndpoint, int], WebhookEndpoint]
) -> None:
    """Write the new health of an endpoint that was `attempted`, and log an error when it is disabled.

    Writes nothing for an endpoint that was deleted, or whose URL has changed. Raises AwsError.
    """
    table = dependencies.settings.table
    for _ in range(MAX_WRITES):
        read = dependencies.transport.send(get_endpoint(table, attempted.tenant, attempted.id))
        if read is None or read.url != attempted.url:
            return
        changed = change(read, dependencies.clock())
        if changed == read:
            return
        if dependencies.transport.send(update_endpoint(table, changed)) is not None:
            if read.enabled and not changed.enabled:
                reason = changed.disabled_reason
                record(AuditRecord(action="endpoint.disabled", tenant=read.tenant, target=read.id))
                log.error("webhook endpoint %s of tenant %s is disabled: %s", read.id, read.tenant, reason)
            return
