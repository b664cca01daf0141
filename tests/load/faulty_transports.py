"""Doors to an AWS that is overloaded: it throttles, fails, loses replies and delivers messages twice."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from coatcheck.core.aws.call import AwsUnavailable, Call, Presign, PresignedUrl
from coatcheck.core.aws.sqs import ReceivedMessage, send_job
from coatcheck.core.messages import JobMessage
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_worker.boto_transport import BotoTransport

T = TypeVar("T")

FAULTS, DOUBLED = "LOAD_FAULTS", "LOAD_DOUBLED"
"""The environment variables that say how often."""

NOT_DONE, DONE = ("ThrottlingException", "InternalServerError"), ("ReadTimeoutError",)


@dataclass(frozen=True)
class FaultRates:
    """Which part of the calls goes wrong, and which part of the messages comes twice (0 to 1)."""

    faults: float
    doubled: float

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """What the environment says."""
        return cls(float(environ[FAULTS]), float(environ[DOUBLED]))

    def to_environ(self) -> dict[str, str]:
        """The environment that says so."""
        return {FAULTS: str(self.faults), DOUBLED: str(self.doubled)}

    def maybe_raise(self, call: Call[Any], codes: tuple[str, ...]) -> None:
        """Raise AwsUnavailable now and then: half of all faults come before a call is carried out, half after."""
        if random.random() < self.faults / 2:
            raise AwsUnavailable(call, random.choice(codes))


class FaultyTransport:
    """The worker's and the sweeper's door."""

    def __init__(self) -> None:
        self._transport, self._fault_rates = BotoTransport(), FaultRates.of(os.environ)

    def send(self, call: Call[T]) -> T:
        self._fault_rates.maybe_raise(call, NOT_DONE)
        answer = self._transport.send(call)
        if call.operation == "ReceiveMessage":
            self._double(answer)
        self._fault_rates.maybe_raise(call, DONE)
        return answer

    def _double(self, answer: Any) -> None:
        received: list[ReceivedMessage] = answer
        for message in received:
            if random.random() < self._fault_rates.doubled:
                self._transport.send(send_job(message.queue_url, JobMessage.parse(message.body)))


class AsyncFaultyTransport:
    """The service's door."""

    def __init__(self) -> None:
        self._transport, self._fault_rates = AioBotoTransport.from_env(os.environ), FaultRates.of(os.environ)

    async def send(self, call: Call[T]) -> T:
        self._fault_rates.maybe_raise(call, NOT_DONE)
        answer = await self._transport.send(call)
        self._fault_rates.maybe_raise(call, DONE)
        return answer

    async def presign(self, presign: Presign) -> PresignedUrl:
        return await self._transport.presign(presign)

    async def aclose(self) -> None:
        await self._transport.aclose()
