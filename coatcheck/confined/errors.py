"""How a confined function can end without an answer."""

from __future__ import annotations

from typing import Literal, TypeAlias

from coatcheck.authoring.retry import Reject

LimitName: TypeAlias = Literal["memory", "seconds", "disk"]


class ConfinedError(Exception):
    """A confined function gave no answer. Those that are a `Reject` too are the fault of what it was given.

    `during` is the message that it reported last as its progress, or None.
    """

    during: str | None = None


class LimitReached(ConfinedError, Reject):
    """The function reached `limit`: "memory", "seconds" or "disk". A `Reject`: it would reach it again."""

    def __init__(self, limit: LimitName, reason: str) -> None:
        super().__init__(reason)
        self.limit: LimitName = limit


class Crashed(ConfinedError, Reject):
    """The process ended without an answer: by the signal that is named `signal`, or with the exit code `status`.

    A `Reject`: the same bytes would break the same library again.
    """

    def __init__(self, status: int, signal: str | None) -> None:
        super().__init__(f"the program that reads it ended with {signal or f'exit code {status}'}")
        self.status = status
        self.signal = signal


class Killed(ConfinedError):
    """SIGKILL or SIGTERM ended the process, and neither came from here: the machine ran out of memory, or stops.

    No `Reject`: the attempt fails, and may be tried again.
    """


class Failed(ConfinedError):
    """The function raised an exception. Its traceback is in the log: to a client it would say too much."""


class BadAnswer(ConfinedError):
    """The function returned something else than it should, or left something else than files."""


class NotStarted(ConfinedError):
    """The process could not be started."""
