"""One attempt at a delivery: one POST, and what the ledger tells of it."""

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
"""Seconds from the name's resolution to the answer's end."""

HTTP_GONE = 410
RETRY_AFTER_STATUSES = frozenset({429, 503})
"""The answers whose Retry-After is heeded."""

MAX_RETRY_AFTER = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class HttpWebhookSender:
    """Sends to where `ssrf_policy` allow.

    `seconds` is how long an answer may take, `context` whose certificates count.
    """

    ssrf_policy: SsrfPolicy
    seconds: float = RESPONSE_TIMEOUT
    context: ssl.SSLContext | None = None

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        """Make one attempt; also answers for how long the receiver wants to be left in peace, in milliseconds."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "coatcheck-webhooks/1",
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
    """What RFC 9110 lets Retry-After be: seconds, or a date. Anything else says nothing."""
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
