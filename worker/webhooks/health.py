"""How an endpoint is doing, and what follows from it. The decisions are pure; `note` writes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from coatcheck.table.webhooks import get_endpoint, update_endpoint
from coatcheck.webhooks import GIVE_UP_AFTER, Endpoint, rest_after
from worker.tools import Tools

log = logging.getLogger(__name__)

GONE = "answered 410 Gone"
FAILED_FOR_DAYS = "failed for five days"

MOST_WRITES = 5
"""Tries to note something of an endpoint that others change at the same time. The next attempt notes it again."""


def after_success(endpoint: Endpoint, _: int) -> Endpoint:
    """The endpoint once it has taken an event."""
    return replace(endpoint, failures=0, failing_since=None, resting_until=None)


def after_failure(endpoint: Endpoint, now: int) -> Endpoint:
    """The endpoint once it has not taken an event: it rests, or is given up."""
    failures, since = endpoint.failures + 1, endpoint.failing_since or now
    rest = rest_after(failures)
    failed = replace(
        endpoint, failures=failures, failing_since=since, resting_until=now + rest if rest else endpoint.resting_until
    )
    return _disabled(failed, FAILED_FOR_DAYS) if now - since >= GIVE_UP_AFTER else failed


def after_gone(endpoint: Endpoint, _: int) -> Endpoint:
    """The endpoint once it has said that it is no more."""
    return _disabled(endpoint, GONE)


def _disabled(endpoint: Endpoint, reason: str) -> Endpoint:
    return replace(endpoint, enabled=False, disabled_reason=reason) if endpoint.enabled else endpoint


def note(tools: Tools, tried: Endpoint, change: Callable[[Endpoint, int], Endpoint]) -> None:
    """Write what has become of an endpoint that was `tried`, and tell its owner's log when it is given up.

    Nothing is noted of one that was deleted, or is to be reached elsewhere by now. Raises AwsError.
    """
    table = tools.deployment.table
    for _ in range(MOST_WRITES):
        read = tools.aws.send(get_endpoint(table, tried.tenant, tried.id))
        if read is None or read.url != tried.url:
            return
        changed = change(read, tools.clock())
        if changed == read:
            return
        if tools.aws.send(update_endpoint(table, changed)) is not None:
            if read.enabled and not changed.enabled:
                reason = changed.disabled_reason
                log.error("webhook endpoint %s of tenant %s is disabled: %s", read.id, read.tenant, reason)
            return
