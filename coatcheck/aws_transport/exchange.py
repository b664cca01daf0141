"""One call to AWS, as a flow: it says when to send, takes what came back, and ends with what the caller wants."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, TypeVar

from coatcheck.aws_transport.aws_json import BadReply, Reply, decode
from coatcheck.aws_transport.retries import AwsRetryPolicy, Trouble, trouble_of
from coatcheck.core.aws.call import AwsError, AwsResponse, AwsUnavailable, Call, error_from
from coatcheck.core.aws.conflicts import retry_delay
from coatcheck.core.metrics.definitions import AWS_RETRIES, AWS_THROTTLES
from coatcheck.core.metrics.recorder import record

T = TypeVar("T")

SKEW_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch"})
MIN_SKEW = 60.0
"""Seconds: with less, the clock is not why a signature was refused. AWS allows five minutes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without an answer."""

    code: str
    trouble: Trouble = Trouble.CONNECTION


def connect_code(error: OSError) -> str:
    """What a connection that cannot be made is called, as by botocore."""
    if isinstance(error, TimeoutError):
        return "ConnectTimeoutError"
    return "SSLError" if isinstance(error, ssl.SSLError) else "EndpointConnectionError"


class Clock:
    """The time at AWS, in seconds since the epoch: that of this machine, corrected by what an answer said."""

    def __init__(self, now: Any) -> None:
        self._now = now
        self._offset = 0.0

    def now(self) -> float:
        """The time to sign with."""
        return float(self._now() + self._offset)

    def correct(self, date: str | None) -> bool:
        """Go by the header Date of an answer. Returns whether the clock was off."""
        try:
            there = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return False
        if abs(there - self.now()) < MIN_SKEW:
            return False
        self._offset = there - self._now()
        return True


def exchange(call: Call[T], policy: AwsRetryPolicy, clock: Clock) -> Generator[float, Reply | Failure, T]:
    """Send `call` until it goes through, is refused, or `policy` gives up.

    Yields the seconds to wait before each attempt, and wants what came of it: the answer, or why there is none.
    Raises AwsUnavailable or AwsRefused.
    """
    pause = 0.0
    trouble: Trouble | None = None
    for attempt in count(1):
        if attempt > 1:
            record(AWS_RETRIES, 1, call.service)
        outcome = yield pause
        failure, response = _read(call, outcome)
        if failure is None:
            if "Error" not in response:
                policy.succeeded(trouble)
                return call.read(response)
            conflict = retry_delay(roll=policy.roll, response=(None, response), attempts=attempt)
            if conflict is not None:
                pause = conflict
                continue
            expected = call.expected_errors.get(response["Error"]["Code"])
            if expected is not None:
                policy.succeeded(trouble)
                return expected(response)
            if attempt == 1 and response["Error"]["Code"] in SKEW_CODES and _was_off(clock, outcome):
                pause = 0.0
                continue
            error: AwsError = error_from(call, response)
            status = response["ResponseMetadata"]["HTTPStatusCode"]
            trouble = trouble_of(response["Error"]["Code"], status)
            if trouble is Trouble.THROTTLED:
                record(AWS_THROTTLES, 1, call.service)
        else:
            error, trouble = AwsUnavailable(call, failure.code), failure.trouble
        wait = policy.pause_before(attempt + 1, trouble) if trouble else None
        if wait is None:
            raise error
        pause = wait
    raise AssertionError("unreachable")


def _read(call: Call[Any], outcome: Reply | Failure) -> tuple[Failure | None, AwsResponse]:
    if isinstance(outcome, Failure):
        return outcome, {}
    try:
        return None, decode(call.service, outcome)
    except BadReply as error:
        return Failure(str(error)), {}


def _was_off(clock: Clock, outcome: Reply | Failure) -> bool:
    return isinstance(outcome, Reply) and clock.correct(outcome.headers.get("date"))
