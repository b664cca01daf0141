"""One delivery attempt: one POST, and its entry in the delivery record."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import monotonic

from coatcheck.core.clock import SECOND, from_datetime, milliseconds
from coatcheck.core.signature import sign
from coatcheck.core.ssrf import SsrfPolicy
from coatcheck.core.webhooks import Delivery, DeliveryAttempt
from coatcheck_worker.webhooks.outbound.post import HttpResponse, post
from coatcheck_worker.webhooks.outbound.request_errors import RequestFailed

RESPONSE_TIMEOUT = 15.0
"""Seconds from resolving the name to the end of the response."""

HTTP_GONE = 410
RETRY_AFTER_STATUSES = frozenset({429, 503})
"""The statuses whose Retry-After is respected."""

MAX_RETRY_AFTER = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class HttpWebhookSender:
    """Sends to URLs that `ssrf_policy` allows.

    `seconds` is how long a response may take, `context` which certificates are trusted.
    """

    ssrf_policy: SsrfPolicy
    seconds: float = RESPONSE_TIMEOUT
    context: ssl.SSLContext | None = None

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        """Make one attempt. Also returns for how long the receiver asks for no more requests, in milliseconds."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "coatcheck-webhooks/1",
            **({"traceparent": delivery.trace.traceparent} if delivery.trace else {}),
            **sign(secrets, delivery.event_id, now // SECOND, delivery.body),
        }
        begun = monotonic()
        try:
            response = post(
                delivery.url, delivery.body, headers, self.ssrf_policy, seconds=self.seconds, context=self.context
            )
        except RequestFailed as error:
            return DeliveryAttempt(now, milliseconds(monotonic() - begun), error=f"{error.code}: {error.text}"), None
        return _attempt_of(response, now), _retry_after(response, now)


def _attempt_of(response: HttpResponse, now: int) -> DeliveryAttempt:
    status = response.status
    redirected = f"redirect: answered {status}, and redirects are not followed" if 300 <= status < 400 else None
    text = response.body.decode("utf-8", errors="replace")
    return DeliveryAttempt(now, milliseconds(response.seconds), status, redirected, text or None)


def _retry_after(response: HttpResponse, now: int) -> int | None:
    """Milliseconds that Retry-After asks for, as seconds or a date (RFC 9110). Anything else is ignored."""
    text = (response.retry_after or "").strip()
    if response.status not in RETRY_AFTER_STATUSES or not text:
        return None
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), MAX_RETRY_AFTER) * SECOND
    try:
        date = parsedate_to_datetime(text)
        return max(0, from_datetime(date if date.tzinfo else date.replace(tzinfo=UTC)) - now)
    except (ValueError, OverflowError):
        return None
