"""What one confined call may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """What one confined call may use. Reaching any of it is the fault of what the function was given.

    `memory`: bytes of private memory; the interpreter and its libraries count, some 50 MB.
    `seconds`: of wall-clock time; None where only the attempt's own end stops it.
    `disk`: bytes of all files it has written together.
    Raises ValueError for a limit that is not positive.
    """

    memory: int = 512 * MIB
    seconds: float | None = 60.0
    disk: int = 256 * MIB

    def __post_init__(self) -> None:
        if self.memory <= 0 or self.disk <= 0 or (self.seconds is not None and not self.seconds > 0):
            raise ValueError(f"limits must be positive: {self}")
