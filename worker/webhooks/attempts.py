"""One attempt at a delivery: one POST, and what the ledger tells of it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import monotonic

from coatcheck.clock import SECOND, from_datetime, milliseconds
from coatcheck.signature import sign
from coatcheck.targets import Targets
from coatcheck.webhooks import Attempt, Delivery
from worker.outbound.errors import NoAnswer
from worker.outbound.post import Answer, post

ANSWER_WITHIN = 15.0
"""Seconds from the name's resolution to the answer's end."""

GONE = 410
ASKS_FOR_TIME = frozenset({429, 503})
"""The answers whose Retry-After is heeded."""

LATEST_SECONDS = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends to where `targets` allow. `seconds` is how long an answer may take, `context` whose certificates count."""

    targets: Targets
    seconds: float = ANSWER_WITHIN
    context: ssl.SSLContext | None = None

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[Attempt, int | None]:
        """Make one attempt; also answers for how long the receiver wants to be left in peace, in milliseconds."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "coatcheck-webhooks/1",
            **sign(secrets, delivery.event_id, now // SECOND, delivery.body),
        }
        begun = monotonic()
        try:
            answer = post(
                delivery.url, delivery.body, headers, self.targets, seconds=self.seconds, context=self.context
            )
        except NoAnswer as error:
            return Attempt(now, milliseconds(monotonic() - begun), error=f"{error.code}: {error.text}"), None
        return _told(answer, now), _retry_after(answer, now)


def _told(answer: Answer, now: int) -> Attempt:
    status = answer.status
    redirected = f"redirect: answered {status}, and redirects are not followed" if 300 <= status < 400 else None
    text = answer.body.decode("utf-8", errors="replace")
    return Attempt(now, milliseconds(answer.seconds), status, redirected, text or None)


def _retry_after(answer: Answer, now: int) -> int | None:
    """What RFC 9110 lets Retry-After be: seconds, or a date. Anything else says nothing."""
    text = (answer.retry_after or "").strip()
    if answer.status not in ASKS_FOR_TIME or not text:
        return None
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), LATEST_SECONDS) * SECOND
    try:
        date = parsedate_to_datetime(text)
        return max(0, from_datetime(date if date.tzinfo else date.replace(tzinfo=UTC)) - now)
    except (ValueError, OverflowError):
        return None
