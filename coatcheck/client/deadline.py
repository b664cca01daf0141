"""Time limits that hold: no call takes longer than it was given, whatever is at the other end."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock, in seconds; infinity is never."""

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """The deadline in `seconds` from now; None is never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self.at - time.monotonic())


NO_DEADLINE = Deadline()


def run_with_timeout(
    left: Callable[[], float], call: Callable[[], T], *, discard: Callable[[T], object] | None = None
) -> T:
    """Run `call` in a thread of its own and return or raise its outcome. Raises TimeoutError once `left()` is 0.

    Then the call is left to end by itself, and what it may still return goes to `discard`. When the time that `left`
    gave is over, `left` is called again, since the time may have been extended. A thread is needed because no time
    limit of a socket covers resolving a name, trying each of its addresses, or an answer that comes byte by byte.
    """
    if left() <= 0:
        raise TimeoutError
    future: Future[T] = Future()
    threading.Thread(target=_complete, args=(future, call), daemon=True).start()
    while (seconds := left()) > 0:
        try:
            return future.result(min(seconds, threading.TIMEOUT_MAX))
        except TimeoutError:
            if future.done():
                return future.result()
    if discard:
        future.add_done_callback(lambda late: late.exception() or discard(late.result()))
    raise TimeoutError


def _complete(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
        future.set_exception(error)
