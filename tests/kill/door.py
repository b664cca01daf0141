"""Doors to AWS that kill their own process, truly, before or after a call that was chosen."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from coatcheck.calls import Call, Presign, Signed
from service.aws import Aws as AsyncAws
from worker.aws import Aws

T = TypeVar("T")

MAIN, BEAT, END = "main", "beat", "end"
"""The strands of a process: the calls of each come in an order of their own, and are counted alone.

`beat` is the heart keeping the lease, `end` what it sends when it ends a process whose handler does not stop.
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Where to die: before or after call `number` (from 0) of a strand."""

    strand: str
    number: int
    after: bool

    def __str__(self) -> str:
        return f"{self.strand}:{self.number}:{'after' if self.after else 'before'}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` made of a point. Raises ValueError."""
        strand, number, side = text.split(":")
        if strand not in {MAIN, BEAT, END} or side not in {"before", "after"}:
            raise ValueError(f"a point is like {MAIN}:3:after, not {text}")
        return cls(strand, int(number), side == "after")


class Fate:
    """Writes a line `strand operation` for each call to the file descriptor `told`, and dies by SIGKILL at `point`."""

    def __init__(self, told: int, point: Point | None) -> None:
        self._told, self._point = told, point
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, call: Call[Any]) -> tuple[str, int]:
        """`call` is about to be sent; the answer is to be given to `end`."""
        strand = strand_of(call)
        with self._lock:
            number = self._counts[strand]
            self._counts[strand] += 1
            os.write(self._told, f"{strand} {call.operation}\n".encode())
        self._meet(Point(strand, number, after=False))
        return strand, number

    def end(self, strand: str, number: int) -> None:
        """The call was answered."""
        self._meet(Point(strand, number, after=True))

    def _meet(self, here: Point) -> None:
        if here == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


def strand_of(call: Call[Any]) -> str:
    """The strand that a call belongs to. A beat is the one write of a heart that leaves the history alone."""
    if threading.current_thread().name != "heart":
        return MAIN
    touched = call.params.get("ExpressionAttributeNames", {}).values()
    return BEAT if call.operation == "UpdateItem" and "history" not in touched else END


class Mortal:
    """The worker's and the sweeper's door."""

    def __init__(self, door: Aws, fate: Fate) -> None:
        self._door, self._fate = door, fate
        self._turn = threading.Lock()

    def send(self, call: Call[T]) -> T:
        # the threads that send parts take turns, so that a call's number says which it is
        with self._turn if strand_of(call) == MAIN else nullcontext():
            moment = self._fate.begin(call)
            try:
                return self._door.send(call)
            finally:
                self._fate.end(*moment)


class AsyncMortal:
    """The service's door."""

    def __init__(self, door: AsyncAws, fate: Fate) -> None:
        self._door, self._fate = door, fate

    async def send(self, call: Call[T]) -> T:
        moment = self._fate.begin(call)
        try:
            return await self._door.send(call)
        finally:
            self._fate.end(*moment)

    async def presign(self, presign: Presign) -> Signed:
        return await self._door.presign(presign)

    async def aclose(self) -> None:
        await self._door.aclose()
