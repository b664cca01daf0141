"""What a running attempt asks its supervisor for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coatcheck.core.job import Progress


class SupervisorPort(Protocol):
    """The supervisor, as the code that runs a handler sees it."""

    @property
    def stop_reason(self) -> str | None:
        """Why the attempt has to end, once it has to."""

    def call_when_stopped(self, action: Callable[[], object]) -> None:
        """Call `action` when the attempt has to end, or at once if it already has to."""

    def report_progress(self, progress: Progress) -> None:
        """Report what the handler reported last."""

    def read_secret(self, name: str) -> str:
        """Return a secret. Raises LookupError if there is none, and RuntimeError if it cannot be read."""

    def checkpoint_room(self) -> int:
        """How many bytes of a checkpoint the row takes."""
