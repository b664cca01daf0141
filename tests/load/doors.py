"""Doors to an AWS that is overloaded: it throttles, fails, loses replies and delivers messages twice."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from coatcheck.calls import AwsUnavailable, Call, Presign, Signed
from coatcheck.messages import JobMessage
from coatcheck.queues import Received, send_job
from service.aws import AioBoto
from worker.aws import Boto

T = TypeVar("T")

FAULTS, DOUBLED = "LOAD_FAULTS", "LOAD_DOUBLED"
"""The environment variables that say how often."""

NOT_DONE, DONE = ("ThrottlingException", "InternalServerError"), ("ReadTimeoutError",)


@dataclass(frozen=True)
class Weather:
    """Which part of the calls goes wrong, and which part of the messages comes twice (0 to 1)."""

    faults: float
    doubled: float

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """What the environment says."""
        return cls(float(environ[FAULTS]), float(environ[DOUBLED]))

    def told(self) -> dict[str, str]:
        """The environment that says so."""
        return {FAULTS: str(self.faults), DOUBLED: str(self.doubled)}

    def strikes(self, call: Call[Any], codes: tuple[str, ...]) -> None:
        """Raise AwsUnavailable now and then: half of all faults come before a call is carried out, half after."""
        if random.random() < self.faults / 2:
            raise AwsUnavailable(call, random.choice(codes))


class Faulty:
    """The worker's and the sweeper's door."""

    def __init__(self) -> None:
        self._door, self._weather = Boto(), Weather.of(os.environ)

    def send(self, call: Call[T]) -> T:
        self._weather.strikes(call, NOT_DONE)
        answer = self._door.send(call)
        if call.operation == "ReceiveMessage":
            self._double(answer)
        self._weather.strikes(call, DONE)
        return answer

    def _double(self, answer: Any) -> None:
        received: list[Received] = answer
        for message in received:
            if random.random() < self._weather.doubled:
                self._door.send(send_job(message.queue_url, JobMessage.parse(message.body)))


class AsyncFaulty:
    """The service's door."""

    def __init__(self) -> None:
        self._door, self._weather = AioBoto.from_env(os.environ), Weather.of(os.environ)

    async def send(self, call: Call[T]) -> T:
        self._weather.strikes(call, NOT_DONE)
        answer = await self._door.send(call)
        self._weather.strikes(call, DONE)
        return answer

    async def presign(self, presign: Presign) -> Signed:
        return await self._door.presign(presign)

    async def aclose(self) -> None:
        await self._door.aclose()
