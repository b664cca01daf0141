"""How an endpoint is doing, and what follows from it. The decisions are pure; `record_health` writes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from coatcheck.core.aws.dynamodb.webhook_items import get_endpoint, update_endpoint
from coatcheck.core.webhooks import DISABLE_AFTER, WebhookEndpoint, cooldown_after
from coatcheck_worker.dependencies import Dependencies

log = logging.getLogger(__name__)

GONE_REASON = "answered 410 Gone"
FAILED_FOR_DAYS = "failed for five days"

MAX_WRITES = 5
"""Tries to note something of an endpoint that others change at the same time. The next attempt notes it again."""


def after_success(endpoint: WebhookEndpoint, _: int) -> WebhookEndpoint:
    """The endpoint once it has taken an event."""
    return replace(endpoint, failures=0, failing_since=None, resting_until=None)


def after_failure(endpoint: WebhookEndpoint, now: int) -> WebhookEndpoint:
    """The endpoint once it has not taken an event: it rests, or is given up."""
    failures, since = endpoint.failures + 1, endpoint.failing_since or now
    rest = cooldown_after(failures)
    failed = replace(
        endpoint, failures=failures, failing_since=since, resting_until=now + rest if rest else endpoint.resting_until
    )
    return _disabled(failed, FAILED_FOR_DAYS) if now - since >= DISABLE_AFTER else failed


def after_gone(endpoint: WebhookEndpoint, _: int) -> WebhookEndpoint:
    """The endpoint once it has said that it is no more."""
    return _disabled(endpoint, GONE_REASON)


def _disabled(endpoint: WebhookEndpoint, reason: str) -> WebhookEndpoint:
    return replace(endpoint, enabled=False, disabled_reason=reason) if endpoint.enabled else endpoint


def record_health(
    dependencies: Dependencies, attempted: WebhookEndpoint, change: Callable[[WebhookEndpoint, int], WebhookEndpoint]
) -> None:
    """Write what has become of an endpoint that was `attempted`, and tell its owner's log when it is given up.

    Nothing is noted of one that was deleted, or is to be reached elsewhere by now. Raises AwsError.
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
                log.error("webhook endpoint %s of tenant %s is disabled: %s", read.id, read.tenant, reason)
            return
