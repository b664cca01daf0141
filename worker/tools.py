"""What every job that runs in this process shares, and what becomes of its message."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from coatcheck.deployment import Deployment
from coatcheck.types import Handlers
from worker.aws import Aws


@dataclass(frozen=True, slots=True)
class Tools:
    """The worker's tools. `clock` tells milliseconds since the epoch, `roll` a random number in [0, 1)."""

    aws: Aws
    deployment: Deployment
    handlers: Handlers
    clock: Callable[[], int]
    roll: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Done:
    """The message has done its work: delete it."""


@dataclass(frozen=True, slots=True)
class Again:
    """The message is to be received again in so many seconds."""

    seconds: int


UNREADABLE_AGAIN = 60
"""Seconds until a message that cannot be read is received again: in time it reaches the dead-letter queue."""

Verdict: TypeAlias = Done | Again


def system_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
