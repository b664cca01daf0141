"""How long a transport waits, how often it tries, and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a connection to be made, and for a whole answer once it is."""

    connect: float
    answer: float


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """Attempts, and connections that are kept for so many seconds while they carry nothing.

    Urgent calls have limits of their own: an answer helps only within a few seconds.
    """

    timeouts: Timeouts
    attempts: int
    idle_connections: int
    idle_seconds: float = 30.0
    urgent_timeouts: Timeouts = Timeouts(connect=2.0, answer=3.0)
    urgent_attempts: int = 2
