"""Doors to AWS that kill their own process, truly, before or after a call that was chosen."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from coatcheck.core.aws.call import Call, Presign, PresignedUrl
from coatcheck_service.aioboto_transport import AsyncTransport
from coatcheck_worker.boto_transport import Transport

T = TypeVar("T")

MAIN, HEARTBEAT, END = "main", "beat", "end"
"""The strands of a process: the calls of each come in an order of their own, and are counted alone.

`beat` is the heart keeping the lease, `end` what it sends when it ends a process whose handler does not stop.
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


class CrashPlan:
    """Write a line `sequence operation` to the file descriptor `log_fd` for each call; die by SIGKILL at `point`."""

    def __init__(self, log_fd: int, point: CrashPoint | None) -> None:
        self._log_fd, self._point = log_fd, point
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, call: Call[Any]) -> tuple[str, int]:
        """`call` is about to be sent; the answer is to be given to `end`."""
        sequence = sequence_of(call)
        with self._lock:
            number = self._counts[sequence]
            self._counts[sequence] += 1
            os.write(self._log_fd, f"{sequence} {call.operation}\n".encode())
        self._crash_at(CrashPoint(sequence, number, after=False))
        return sequence, number

    def end(self, sequence: str, number: int) -> None:
        """The call was answered."""
        self._crash_at(CrashPoint(sequence, number, after=True))

    def _crash_at(self, here: CrashPoint) -> None:
        if here == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


def sequence_of(call: Call[Any]) -> str:
    """The strand that a call belongs to. A beat is the one write of a heart that leaves the history alone."""
    if threading.current_thread().name != "heart":
        return MAIN
    touched = call.params.get("ExpressionAttributeNames", {}).values()
    return HEARTBEAT if call.operation == "UpdateItem" and "history" not in touched else END


class CrashingTransport:
    """The worker's and the sweeper's door."""

    def __init__(self, transport: Transport, crash_plan: CrashPlan) -> None:
        self._transport, self._crash_plan = transport, crash_plan
        self._turn = threading.Lock()

    def send(self, call: Call[T]) -> T:
        # the threads that send parts take turns, so that a call's number says which it is
        with self._turn if sequence_of(call) == MAIN else nullcontext():
            moment = self._crash_plan.begin(call)
            try:
                return self._transport.send(call)
            finally:
                self._crash_plan.end(*moment)


class AsyncCrashingTransport:
    """The service's door."""

    def __init__(self, transport: AsyncTransport, crash_plan: CrashPlan) -> None:
        self._transport, self._crash_plan = transport, crash_plan

    async def send(self, call: Call[T]) -> T:
        moment = self._crash_plan.begin(call)
        try:
            return await self._transport.send(call)
        finally:
            self._crash_plan.end(*moment)

    async def presign(self, presign: Presign) -> PresignedUrl:
        return await self._transport.presign(presign)

    async def aclose(self) -> None:
        await self._transport.aclose()
