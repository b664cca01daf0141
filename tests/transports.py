"""Transports that log the calls of a test, and in which chosen calls go wrong.

A fault is data: `Fault` says what happens to which calls. What happens is an effect, written once for the sync and the
async transport: it makes of a call the flow that is sent in its place, whose result the caller gets.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeVar

from coatcheck.aws_transport.protocols import AsyncTransport, Transport
from coatcheck.core.aws.call import AwsUnavailable, Call, Presign, PresignedUrl
from coatcheck.core.aws.flow import Flow, run, run_async, send

T = TypeVar("T")

Steps: TypeAlias = Flow[Any]
Effect: TypeAlias = Callable[[Call[Any]], Steps]
When: TypeAlias = Callable[[Call[Any]], bool]
Log: TypeAlias = Callable[[Call[Any]], object]


class ProcessDied(BaseException):
    """The process is gone, as far as this test is concerned."""


def any_call(_: Call[Any]) -> bool:
    """Pick every call."""
    return True


def on(*operations: str) -> When:
    """Pick the calls of some operations."""
    return lambda call: call.operation in operations


@dataclass(frozen=True, eq=False)
class Fault:
    """`effect` happens to the calls that `when` picks: not to the first `skip` of them, but to the next `times`."""

    effect: Effect
    when: When = any_call
    skip: int = 0
    times: float = math.inf


def throttle(call: Call[Any]) -> NoReturn:
    """Refuse the call, as AWS does when it is overloaded."""
    raise AwsUnavailable(call, "ThrottlingException")


def lose_reply(call: Call[Any]) -> Steps:
    """Carry out the call, and answer as if AWS were out of reach."""
    yield call
    raise AwsUnavailable(call, "ReadTimeoutError")


def repeat(call: Call[Any]) -> Steps:
    """Carry out the call twice, as the SDK does when a reply is lost on the way."""
    yield call
    return (yield call)


def repeat_after(action: Callable[[], object]) -> Effect:
    """As `repeat`, with something happening in between."""

    def effect(call: Call[Any]) -> Steps:
        yield call
        action()
        return (yield call)

    return effect


def send_after(action: Callable[[], object]) -> Effect:
    """Let something happen before the call is sent. What it raises, the caller gets instead of an answer."""

    def effect(call: Call[Any]) -> Steps:
        action()
        return (yield call)

    return effect


def change(changed: Callable[[Call[Any]], Call[Any]]) -> Effect:
    """Send another call instead."""
    return lambda call: send(changed(call))


def die() -> NoReturn:
    """End the process as `ProcessDied` does. Its transport sends nothing any more."""
    raise ProcessDied


def crash(*, after: bool, by: Callable[[], NoReturn] = die) -> Effect:
    """Die before the call is sent, or after it was answered in whatever way."""

    def effect(call: Call[Any]) -> Steps:
        if not after:
            by()
        try:
            return (yield call)
        finally:
            by()

    return effect


class _Faults:
    """The faults of a transport, which counts and logs the calls that come in. Safe in threads.

    To a call happens the first of `faults` that is due. `log` gets each call before its fault; by default they are
    kept in `calls`.
    """

    def __init__(self, faults: tuple[Fault, ...], log: Log | None) -> None:
        self.faults = list(faults)
        self.calls: list[Call[Any]] = []
        self.died = False
        self._log: Log = log or self.calls.append
        self._picked: Counter[Fault] = Counter()
        self._lock = threading.Lock()

    @property
    def operations(self) -> list[str]:
        """The operations of the calls that came in."""
        return [call.operation for call in self.calls]

    def _steps(self, call: Call[Any]) -> Steps:
        if self.died:
            raise ProcessDied
        with self._lock:
            self._log(call)
            effect = self._next_effect(call)
        try:
            return (yield from effect(call))
        except ProcessDied:
            self.died = True
            raise

    def _next_effect(self, call: Call[Any]) -> Effect:
        for fault in self.faults:
            if fault.when(call):
                number = self._picked[fault]
                self._picked[fault] += 1
                if fault.skip <= number < fault.skip + fault.times:
                    return fault.effect
        return send


class FaultyTransport(_Faults):
    """The transport of a worker or a sweeper."""

    def __init__(self, transport: Transport, *faults: Fault, log: Log | None = None) -> None:
        super().__init__(faults, log)
        self._transport = transport

    def send(self, call: Call[T]) -> T:
        """Send `call`, with what goes wrong."""
        result: T = run(self._transport, self._steps(call))
        return result


class AsyncFaultyTransport(_Faults):
    """The transport of a service."""

    def __init__(self, transport: AsyncTransport, *faults: Fault, log: Log | None = None) -> None:
        super().__init__(faults, log)
        self._transport = transport

    async def send(self, call: Call[T]) -> T:
        """Send `call`, with what goes wrong."""
        result: T = await run_async(self._transport, self._steps(call))
        return result

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Sign a URL."""
        return await self._transport.presign(presign)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


def crash_at(transport: Transport, at: int, *, after: bool) -> FaultyTransport:
    """A transport that dies at call number `at` (from 0), before it is sent or after it was answered."""
    return FaultyTransport(transport, Fault(crash(after=after), skip=at, times=1))
