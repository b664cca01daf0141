"""Transports that kill their own process, truly, before or after a call that was chosen."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, Self, TypeVar

from coatcheck.core.aws.call import Call
from coatcheck_service.aioboto_transport import AsyncTransport
from coatcheck_worker.boto_transport import Transport
from tests.transports import AsyncFaultyTransport, Fault, FaultyTransport, crash

T = TypeVar("T")

MAIN, HEARTBEAT, END = "main", "heartbeat", "end"
"""The strands of a process: the calls of each come in an order of their own, and are counted alone.

`heartbeat` is what renews the lease, `end` what it sends when it ends a process whose handler does not stop.
"""


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where to die: before or after call `number` (from 0) of a strand."""

    sequence: str
    number: int
    after: bool

    def __str__(self) -> str:
        return f"{self.sequence}:{self.number}:{'after' if self.after else 'before'}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` made of a point. Raises ValueError."""
        sequence, number, side = text.split(":")
        if sequence not in {MAIN, HEARTBEAT, END} or side not in {"before", "after"}:
            raise ValueError(f"a point is like {MAIN}:3:after, not {text}")
        return cls(sequence, int(number), side == "after")


@dataclass(frozen=True, slots=True)
class CrashPlan:
    """Write a line `sequence operation` to the file descriptor `log_fd` for each call; die by SIGKILL at `point`."""

    log_fd: int
    point: CrashPoint | None

    def log(self, call: Call[Any]) -> None:
        """Write the line of a call."""
        os.write(self.log_fd, f"{sequence_of(call)} {call.operation}\n".encode())

    @property
    def faults(self) -> list[Fault]:
        """The death, if there is to be one."""
        if (point := self.point) is None:
            return []
        crashing = crash(after=point.after, by=_kill_process)
        return [Fault(crashing, lambda call: sequence_of(call) == point.sequence, skip=point.number, times=1)]


def _kill_process() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


def sequence_of(call: Call[Any]) -> str:
    """The strand that a call belongs to. A renewal is the one write of a heartbeat that leaves the history alone."""
    if threading.current_thread().name != "heartbeat":
        return MAIN
    touched = call.params.get("ExpressionAttributeNames", {}).values()
    return HEARTBEAT if call.operation == "UpdateItem" and "history" not in touched else END


class CrashingTransport(FaultyTransport):
    """The transport of a worker or a sweeper, whose threads that send parts take turns.

    So a call's number says which it is.
    """

    def __init__(self, transport: Transport, crash_plan: CrashPlan) -> None:
        super().__init__(transport, *crash_plan.faults, log=crash_plan.log)
        self._turn = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """Send `call`, or die."""
        with self._turn if sequence_of(call) == MAIN else nullcontext():
            return super().send(call)


def async_crashing_transport(transport: AsyncTransport, crash_plan: CrashPlan) -> AsyncFaultyTransport:
    """The service's transport."""
    return AsyncFaultyTransport(transport, *crash_plan.faults, log=crash_plan.log)
