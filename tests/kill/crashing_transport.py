"""Transports that kill their own process, truly, before or after a call that was chosen."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

from coatcheck.aws_transport.protocols import AsyncTransport, Transport
from coatcheck.core.aws.call import Call
from coatcheck_worker.runner.s3_transport import SignedS3Transport
from tests.transports import AsyncFaultyTransport, Fault, FaultyTransport, crash

T = TypeVar("T")

MAIN, HEARTBEAT, DELETER, RUNNER = "main", "heartbeat", "deleter", "runner"
SEQUENCES = frozenset({MAIN, HEARTBEAT, DELETER, RUNNER})
"""The strands of a process: the calls of each come in an order of their own, and are counted alone.

`heartbeat` is what renews the lease, `deleter` what deletes messages, `runner` the process that runs the handler.
"""

LOG, POINT = "KILL_LOG", "KILL_POINT"
"""The environment variables that tell a runner of its plan."""


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
        if sequence not in SEQUENCES or side not in {"before", "after"}:
            raise ValueError(f"a point is like {MAIN}:3:after, not {text}")
        return cls(sequence, int(number), side == "after")


@dataclass(frozen=True, slots=True)
class CrashPlan:
    """Append a line `sequence operation` to the file `log` for each call; die by SIGKILL at `point`, once.

    `in_runner` says whose calls these are: a runner that is started in place of the one that died lives.
    """

    path: Path
    point: CrashPoint | None
    in_runner: bool = False

    @classmethod
    def of_runner(cls, environ: Mapping[str, str]) -> Self | None:
        """The plan of the runners in this environment, if there is one."""
        if LOG not in environ:
            return None
        point = environ.get(POINT)
        return cls(Path(environ[LOG]), CrashPoint.parse(point) if point else None, in_runner=True)

    def environment_of_runner(self) -> dict[str, str]:
        """The environment of runners that have their part in this plan."""
        in_runner = self.point is not None and self.point.sequence == RUNNER
        return {LOG: str(self.path), **({POINT: str(self.point)} if in_runner else {})}

    @property
    def death(self) -> Path:
        """The file that tells of the death, by the time of its making."""
        return self.path.with_suffix(".died")

    def log(self, call: Call[Any]) -> None:
        """Write the line of a call."""
        with self.path.open("ab", buffering=0) as log:
            log.write(f"{self.sequence_of(call)} {call.operation}\n".encode())

    @property
    def faults(self) -> list[Fault]:
        """The death, if there is to be one."""
        if (point := self.point) is None:
            return []

        def is_due(call: Call[Any]) -> bool:
            return self.sequence_of(call) == point.sequence and not self.death.exists()

        return [Fault(crash(after=point.after, by=self._die), is_due, skip=point.number, times=1)]

    def sequence_of(self, _: Call[Any]) -> str:
        """The strand that a call of this thread belongs to."""
        if self.in_runner:
            return RUNNER
        name = threading.current_thread().name
        return name if name in SEQUENCES else MAIN

    def _die(self) -> NoReturn:
        self.death.touch()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL cannot be survived")


class CrashingTransport(FaultyTransport):
    """The transport of a worker, a sweeper or a runner, whose threads that send parts take turns.

    So a call's number says which it is.
    """

    def __init__(self, transport: Transport, crash_plan: CrashPlan) -> None:
        super().__init__(transport, *crash_plan.faults, log=crash_plan.log)
        self._turns = {sequence: threading.Lock() for sequence in SEQUENCES}
        self._sequence_of = crash_plan.sequence_of

    def send(self, call: Call[T]) -> T:
        """Send `call`, or die."""
        with self._turns[self._sequence_of(call)]:
            return super().send(call)


class CrashingS3Transport(SignedS3Transport):
    """The transport of a runner."""

    def __init__(self, crash_plan: CrashPlan) -> None:
        super().__init__()
        self._crashing = CrashingTransport(_Sound(self), crash_plan)

    def send(self, call: Call[T]) -> T:
        """Send `call`, or die."""
        return self._crashing.send(call)


class _Sound:
    """A runner's transport that does not die."""

    def __init__(self, transport: SignedS3Transport) -> None:
        self._transport = transport

    def send(self, call: Call[T]) -> T:
        """Send `call`."""
        return SignedS3Transport.send(self._transport, call)


def async_crashing_transport(transport: AsyncTransport, crash_plan: CrashPlan) -> AsyncFaultyTransport:
    """The service's transport."""
    return AsyncFaultyTransport(transport, *crash_plan.faults, log=crash_plan.log)
