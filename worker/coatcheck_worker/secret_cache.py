"""The values of secrets that a process has read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from coatcheck.core.clock import MINUTE

KEPT = 5 * MINUTE
"""How long a value is used before it is read again, so that a rotated secret arrives."""


@dataclass(slots=True)
class SecretCache:
    """Values by name, each kept for five minutes. Attempts may use it from several threads."""

    _kept: dict[str, tuple[str, int]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, name: str, now: int) -> str | None:
        """Return the value that was kept less than five minutes before `now` (milliseconds)."""
        with self._lock:
            value, until = self._kept.get(name, (None, 0))
        return value if now < until else None

    def keep(self, name: str, value: str, now: int) -> None:
        """Keep a value that was read."""
        with self._lock:
            self._kept[name] = (value, now + KEPT)
