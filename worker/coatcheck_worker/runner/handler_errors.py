"""What the exception of a handler means. A handler may raise anything, or something that only looks right."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

from coatcheck.authoring.context import Stopped
from coatcheck.authoring.retry import MAX_RETRY_SECONDS, Reject, RetryLater
from coatcheck.core import sanitize

MAX_REASON = 500
NO_REASON = "the handler gave no reason"
_MAX_GROUPED = 1000


def decisive(error: BaseException, *, stop_requested: bool) -> BaseException:
    """Return the exception that decides what follows: `error` itself, or the most decisive one in its group.

    That is `Stopped` if a stop was requested (then a cancelled task means the same), else `Reject`, else `RetryLater`.
    A group without any of them decides as a whole.
    """
    raised = list(_leaves(error))
    stops = (Stopped, asyncio.CancelledError) if stop_requested else ()
    for kind in (stops, (Reject,), (RetryLater,)):
        found = next((one for one in raised if isinstance(one, kind)), None)
        if found is not None:
            return found
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    todo, seen = [error], 0
    while todo and seen < _MAX_GROUPED:
        seen += 1
        one = todo.pop()
        if isinstance(one, BaseExceptionGroup):
            todo += reversed(one.exceptions)
        else:
            yield one


def reason_of(error: Reject | RetryLater) -> str:
    """Return the reason that the handler gave, as text that a client can be shown, at most 500 characters."""
    reason = getattr(error, "reason", None)
    try:
        text = reason.decode(errors="replace") if isinstance(reason, (bytes, bytearray)) else reason
        return sanitize.plain_text("" if text is None else text, longest=MAX_REASON) or NO_REASON
    except Exception as failed:  # noqa: BLE001 - a __str__ may raise anything
        return f"{NO_REASON} that can be shown ({type(failed).__name__})"


def wait_of(error: RetryLater) -> float:
    """Return how many seconds to wait: 0 to 30 days, and 0 for what is no number."""
    try:
        seconds = float(error.after)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return 0.0
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_SECONDS)
