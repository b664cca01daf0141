"""Doors that fail on purpose: the faults are at the wire, the logic behind is the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck_worker.boto_transport import Transport

T = TypeVar("T")


class ProcessDied(BaseException):
    """The process is gone, as far as this test is concerned."""


class RecordingTransport:
    """Notes every call that passes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.calls: list[Call[Any]] = []

    def send(self, call: Call[T]) -> T:
        self.calls.append(call)
        return self._transport.send(call)

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.calls]


class CrashingTransport:
    """Dies at call number `at` (counted from 0), before it is sent or after it was carried out."""

    def __init__(self, transport: Transport, at: int, *, after: bool) -> None:
        self._transport, self._at, self._after = transport, at, after
        self._count = 0
        self.died = False

    def send(self, call: Call[T]) -> T:
        number, self._count = self._count, self._count + 1
        if self.died or (number == self._at and not self._after):
            self.died = True
            raise ProcessDied
        answer = self._transport.send(call)
        if number == self._at:
            self.died = True
            raise ProcessDied
        return answer


class ReplyLosingTransport:
    """Carries out the calls that `loses` picks twice, as the SDK does when a reply is lost on the way."""

    def __init__(self, transport: Transport, loses: Callable[[Call[Any]], bool]) -> None:
        self._transport, self._loses = transport, loses

    def send(self, call: Call[T]) -> T:
        if self._loses(call):
            self._transport.send(call)
        return self._transport.send(call)


class ThrottlingTransport:
    """Answers the calls that `refuses` picks as AWS does when it is overloaded."""

    def __init__(self, transport: Transport, refuses: Callable[[Call[Any]], bool]) -> None:
        self._transport, self._refuses = transport, refuses

    def send(self, call: Call[T]) -> T:
        if self._refuses(call):
            raise AwsUnavailable(call, "ThrottlingException")
        return self._transport.send(call)
