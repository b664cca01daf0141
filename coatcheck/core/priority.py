"""How urgent a job is, as its client says."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """How urgent a job is, the least urgent first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    def exceeds(self, most: Priority | None) -> bool:
        """Whether it is more urgent than `most`, if that is not None."""
        order = list(Priority)
        return most is not None and order.index(self) > order.index(most)

    def within(self, most: Priority | None) -> Priority:
        """This, or `most` if this is more urgent."""
        return most if most is not None and self.exceeds(most) else self
