"""Times are whole milliseconds since the epoch; clients see RFC 3339 in UTC.

Only `system_clock` reads a clock. Programs pass it down, so tests can run code that takes the time at any time.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def system_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def milliseconds(seconds: float) -> int:
    """`seconds` in milliseconds, rounded to the nearest."""
    return round(seconds * SECOND)


def rfc3339(at: int) -> str:
    """`at` as RFC 3339 in UTC, with milliseconds."""
    whole, rest = divmod(at, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC).isoformat()[:19]}.{rest:03d}Z"


def from_datetime(moment: datetime) -> int:
    """An aware datetime in milliseconds since the epoch."""
    return milliseconds(moment.timestamp())


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def from_rfc3339(text: object) -> int:
    """A time in RFC 3339, from 1970 on, in milliseconds. Raises ValueError for anything else."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("should be a time in RFC 3339, such as 2026-11-03T09:30:00Z")
    try:
        at = from_datetime(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise ValueError("should be a time that exists, such as 2026-11-03T09:30:00Z") from None
    if at < 0:
        raise ValueError("should be a time from 1970 on")
    return at
