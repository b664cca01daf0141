"""Doors that fail on purpose: the faults are at the wire, the logic behind is the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from coatcheck.calls import AwsUnavailable, Call
from worker.aws import Aws

T = TypeVar("T")


class Died(BaseException):
    """The process is gone, as far as this test is concerned."""


class Counting:
    """Notes every call that passes."""

    def __init__(self, door: Aws) -> None:
        self._door = door
        self.calls: list[Call[Any]] = []

    def send(self, call: Call[T]) -> T:
        self.calls.append(call)
        return self._door.send(call)

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.calls]


class Mortal:
    """Dies at call number `at` (counted from 0), before it is sent or after it was carried out."""

    def __init__(self, door: Aws, at: int, *, after: bool) -> None:
        self._door, self._at, self._after = door, at, after
        self._count = 0
        self.died = False

    def send(self, call: Call[T]) -> T:
        number, self._count = self._count, self._count + 1
        if self.died or (number == self._at and not self._after):
            self.died = True
            raise Died
        answer = self._door.send(call)
        if number == self._at:
            self.died = True
            raise Died
        return answer


class LosesReplies:
    """Carries out the calls that `loses` picks twice, as the SDK does when a reply is lost on the way."""

    def __init__(self, door: Aws, loses: Callable[[Call[Any]], bool]) -> None:
        self._door, self._loses = door, loses

    def send(self, call: Call[T]) -> T:
        if self._loses(call):
            self._door.send(call)
        return self._door.send(call)


class Refusing:
    """Answers the calls that `refuses` picks as AWS does when it is overloaded."""

    def __init__(self, door: Aws, refuses: Callable[[Call[Any]], bool]) -> None:
        self._door, self._refuses = door, refuses

    def send(self, call: Call[T]) -> T:
        if self._refuses(call):
            raise AwsUnavailable(call, "ThrottlingException")
        return self._door.send(call)
