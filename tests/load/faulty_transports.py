"""Transports to an AWS that is overloaded: it throttles, fails, loses replies and delivers messages twice."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.messages import JobMessage
from coatcheck_service.aioboto_transport import AioBotoTransport
from coatcheck_worker.boto_transport import BotoTransport
from tests.transports import AsyncFaultyTransport, Fault, FaultyTransport, Steps

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

    def overload(self, call: Call[Any]) -> Steps:
        """What becomes of a call: half of all faults come before it is carried out, half after."""
        self._maybe_raise(call, NOT_DONE)
        answer = yield call
        if call.operation == "ReceiveMessage":
            for message in answer:
                if random.random() < self.doubled:
                    yield send_job(message.queue_url, JobMessage.parse(message.body))
        self._maybe_raise(call, DONE)
        return answer

    def _maybe_raise(self, call: Call[Any], codes: tuple[str, ...]) -> None:
        if random.random() < self.faults / 2:
            raise AwsUnavailable(call, random.choice(codes))


def connect() -> FaultyTransport:
    """The transport of a worker or the sweeper. It keeps no log, which would grow with the load."""
    return FaultyTransport(BotoTransport(), Fault(FaultRates.of(os.environ).overload), log=_forget)


def connect_async() -> AsyncFaultyTransport:
    """The service's transport. It keeps no log either."""
    transport = AioBotoTransport.from_env(os.environ)
    return AsyncFaultyTransport(transport, Fault(FaultRates.of(os.environ).overload), log=_forget)


def _forget(_: Call[Any]) -> None:
    pass
