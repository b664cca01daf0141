"""How urgent a job is, as its client says."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """How urgent a job is, the least urgent first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
