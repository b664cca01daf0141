"""AWS in memory, at the door: the small part of it that the kernel's calls use. `test_model` holds it to emulators."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from coatcheck.calls import Call, error_from
from tests.simulation.dynamodb import Refusal, Table
from tests.simulation.s3 import Bucket
from tests.simulation.sqs import Queues

T = TypeVar("T")


class Model:
    """One account. `lag` is how late an index may be, in milliseconds; `doubled` whether a message comes twice."""

    def __init__(
        self,
        *,
        chance: random.Random | None = None,
        lag: Callable[[], int] = lambda: 0,
        doubled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.table = Table(lag)
        self.queues = Queues(chance, doubled)
        self.bucket = Bucket()

    def carry_out(self, call: Call[T], now: int) -> T:
        """Do what the call asks for at the time `now`, and read the answer. Raises AwsError as a door does."""
        try:
            return call.read(self._answer(call, now))
        except Refusal as refusal:
            read = call.refusals.get(refusal.response["Error"]["Code"])
            if read is not None:
                return read(refusal.response)
            raise error_from(call, refusal.response) from refusal

    def _answer(self, call: Call[Any], now: int) -> Any:
        match call.service:
            case "dynamodb":
                return self.table.answer(call.operation, call.params, now)
            case "sqs":
                return self.queues.answer(call.operation, call.params, now)
            case "s3":
                return self.bucket.answer(call.operation, call.params)


class ModelDoor:
    """A door to the model alone: no faults, and time as `clock` tells it (milliseconds)."""

    def __init__(self, model: Model, clock: Callable[[], int]) -> None:
        self._model, self._clock = model, clock

    def send(self, call: Call[T]) -> T:
        """Carry out `call`. Raises AwsRefused."""
        return self._model.carry_out(call, self._clock())
