"""When a call is sent again, and what it ends with. Nothing is sent here."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from coatcheck.aws_transport.aws_json import Reply
from coatcheck.aws_transport.exchange import Clock, Failure, exchange
from coatcheck.aws_transport.retries import AwsRetryPolicy, RetryBudget, Trouble
from coatcheck.core.aws.call import AwsDenied, AwsError, AwsRefused, AwsUnavailable, Call

GOOD = Reply(200, {}, b'{"Item":{}}')
LOST = Failure("ReadTimeoutError")
CLOSED = Failure("ConnectionClosedError", Trouble.CLOSED)
NOW = 1_793_957_400.0


def refusal(code: str, status: int = 400, **headers: str) -> Reply:
    return Reply(status, headers, json.dumps({"__type": f"x#{code}", "message": "no"}).encode())


THROTTLED = refusal("ProvisionedThroughputExceededException")
BROKEN = Reply(503, {}, b"<html>")
CHANGED = Reply(200, {"x-amz-crc32": "1"}, b"{}")
EXPECTED = "ConditionalCheckFailedException"
CALL: Call[Any] = Call("dynamodb", "GetItem", {}, lambda answer: answer["Item"], {EXPECTED: lambda _: "expected"})


def policy(attempts: int = 3, capacity: int = 500, roll: float = 1.0) -> AwsRetryPolicy:
    return AwsRetryPolicy(attempts, lambda: roll, RetryBudget(capacity))


def play(outcomes: list[Reply | Failure], rule: AwsRetryPolicy, clock: Clock) -> tuple[object, list[float]]:
    """What the flow ends with, and its pauses."""
    flow = exchange(CALL, rule, clock)
    pauses = [next(flow)]
    for outcome in outcomes:
        try:
            pauses.append(flow.send(outcome))
        except StopIteration as end:
            return end.value, pauses
        except AwsError as error:
            return error, pauses
    raise AssertionError("the flow wants more")


def clock() -> Clock:
    return Clock(lambda: NOW)


@pytest.mark.parametrize(
    ("outcomes", "pauses"),
    [
        ([GOOD], [0]),
        ([LOST, GOOD], [0, 0.1]),
        ([LOST, LOST, GOOD], [0, 0.1, 0.2]),
        ([CLOSED, GOOD], [0, 0]),
        ([BROKEN, GOOD], [0, 0.05]),
        ([THROTTLED, THROTTLED, GOOD], [0, 0.5, 1]),
        ([CHANGED, GOOD], [0, 0.1]),
    ],
    ids=["at once", "lost", "lost twice", "closed", "broken", "throttled twice", "changed on its way"],
)
def test_it_goes_through_in_the_end(outcomes: list[Reply | Failure], pauses: list[float]) -> None:
    assert play(outcomes, policy(), clock()) == ({}, pauses)


@pytest.mark.parametrize(
    ("outcomes", "kind", "code"),
    [
        ([LOST] * 3, AwsUnavailable, "ReadTimeoutError"),
        ([THROTTLED] * 3, AwsUnavailable, "ProvisionedThroughputExceededException"),
        ([BROKEN] * 3, AwsUnavailable, "Unknown"),
        ([refusal("ValidationException")], AwsRefused, "ValidationException"),
        ([refusal("AccessDeniedException")], AwsDenied, "AccessDeniedException"),
        ([refusal("TransactionConflictException")], AwsUnavailable, "TransactionConflictException"),
    ],
    ids=["lost", "throttled", "broken", "wrong", "denied", "in conflict"],
)
def test_it_is_given_up(outcomes: list[Reply | Failure], kind: type[AwsError], code: str) -> None:
    error, _ = play(outcomes, policy(), clock())
    assert type(error) is kind
    assert isinstance(error, AwsError)
    assert error.code == code


def test_an_error_that_is_an_answer_is_not_asked_for_again() -> None:
    assert play([refusal(EXPECTED)], policy(), clock()) == ("expected", [0])


def test_a_transaction_that_met_another_is_sent_again() -> None:
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    met = Reply(
        400, {}, json.dumps({"__type": "x#TransactionCanceledException", "CancellationReasons": reasons}).encode()
    )
    answer, pauses = play([met, met, met, GOOD], policy(attempts=1), clock())
    assert answer == {}
    assert pauses == sorted(pauses)
    assert 0 < pauses[1] < 0.1


def test_a_process_with_many_failures_tries_once() -> None:
    """Of 100 retries of 10 each, what is left pays for ten; each success gives one back."""
    rule = policy(attempts=2, capacity=100)
    retried = [len(play([LOST, LOST], rule, clock())[1]) == 2 for _ in range(12)]
    assert retried == [True] * 10 + [False] * 2
    for _ in range(10):
        play([GOOD], rule, clock())
    assert play([LOST, GOOD], rule, clock())[0] == {}


def test_pauses_are_drawn() -> None:
    assert play([LOST, LOST, GOOD], policy(roll=0.25), clock())[1] == [0, 0.025, 0.05]


@pytest.mark.parametrize("seconds", [-3600, 3600, -90, 400])
def test_a_clock_that_is_off_is_corrected(seconds: int) -> None:
    """The first answer says what time it is there; what follows is signed by that."""
    ours = clock()
    skewed = refusal("InvalidSignatureException", date=formatdate(NOW + seconds, usegmt=True))
    assert play([skewed, GOOD], policy(), ours) == ({}, [0, 0])
    assert ours.now() == NOW + seconds
    assert play([skewed], policy(), ours)[0].__class__ is AwsDenied, "it is no longer the clock"


@pytest.mark.parametrize("date", ["", "yesterday", formatdate(NOW + 20, usegmt=True)])
def test_a_signature_that_is_wrong_otherwise_is_refused(date: str) -> None:
    assert isinstance(play([refusal("InvalidSignatureException", date=date)], policy(), clock())[0], AwsDenied)


def test_the_clock_goes_on() -> None:
    ours = Clock(time.time)
    ours.correct(formatdate(time.time() + 1000, usegmt=True))
    first = ours.now()
    assert first <= ours.now() < first + 10
