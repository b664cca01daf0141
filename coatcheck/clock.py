"""Times are whole milliseconds since the epoch; clients see RFC 3339 in UTC. No clock is read here."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def milliseconds(seconds: float) -> int:
    """`seconds` in milliseconds, rounded to the nearest."""
    return round(seconds * SECOND)


def rfc3339(at: int) -> str:
    """`at` as RFC 3339 in UTC, with milliseconds."""
    whole, rest = divmod(at, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def from_datetime(moment: datetime) -> int:
    """An aware datetime in milliseconds since the epoch."""
    return milliseconds(moment.timestamp())
