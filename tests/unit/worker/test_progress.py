"""What a handler says of its progress, on its way into the row."""

from __future__ import annotations

import math
from contextlib import nullcontext
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.codec import decode_job, encode_job
from coatcheck.core.clock import MINUTE
from coatcheck.core.job import Progress
from coatcheck_worker.protocol import ReportProgress, RunJob, from_runner
from coatcheck_worker.runner.job_context import JobContext
from coatcheck_worker.supervisor.heartbeat import Heartbeat
from tests.job_rows import NOW, make_job

T = TypeVar("T")

JOB = make_job(attempt=1)
RUN_JOB = RunJob(
    tenant=JOB.tenant,
    id=JOB.id,
    type=JOB.type,
    lane=JOB.lane,
    created_at=JOB.created_at,
    attempt=JOB.attempt,
    counted_attempt=1,
    counted_max_attempts=JOB.max_attempts,
    deadline=NOW + MINUTE,
    bucket="bucket",
    workdir="",
    input_size=0,
    has_checkpoint=False,
)


class UnusedTransport:
    """Nothing is sent here."""

    def send(self, call: Call[T]) -> T:
        raise AssertionError(call)


class Port:
    """The supervisor, at the other end of the protocol."""

    stop_reason = None

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def call_when_stopped(self, action: Any) -> None:
        raise AssertionError(action)

    def report_progress(self, progress: Progress) -> None:
        sent = ReportProgress(fraction=progress.fraction, message=progress.message)
        arrived = from_runner().validate_json(sent.model_dump_json())
        assert isinstance(arrived, ReportProgress)
        self._heartbeat.set_progress(Progress(arrived.fraction, arrived.message))

    def read_secret(self, name: str) -> str:
        raise AssertionError(name)

    def checkpoint_room(self) -> int:
        raise AssertionError


def in_the_row(fraction: Any, message: Any) -> Progress | None:
    """What a client is told of it: the beat that takes it along is made, and the row with it read."""
    transport = UnusedTransport()
    heartbeat = Heartbeat(
        transport,
        "table",
        JOB,
        lease=MINUTE,
        deadline=NOW + MINUTE,
        clock=lambda: NOW,
        ticker=lambda _: nullcontext(),
    )
    JobContext(transport, RUN_JOB, Port(heartbeat), workdir=Path(), clock=lambda: NOW).progress(fraction, message)
    renew_lease = transitions.renew_lease("table", JOB, now=NOW, lease=MINUTE, progress=heartbeat._progress)
    (written,) = (v for v in renew_lease.params["ExpressionAttributeValues"].values() if "B" in v)
    return decode_job({**encode_job(JOB), "progress": written}).progress


@pytest.mark.parametrize("half", [0.5, Decimal("0.5"), Fraction(1, 2), np.float32(0.5), np.float64(0.5)], ids=repr)
def test_any_number_is_a_fraction(half: Any) -> None:
    assert in_the_row(half, "half") == Progress(0.5, "half")


@pytest.mark.parametrize("whole", [1, True, np.int64(1), np.bool_(True)], ids=repr)
def test_any_one_is_the_whole(whole: Any) -> None:
    assert in_the_row(whole, None) == Progress(1.0, None)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf, 10**400, np.float32("nan")], ids=lambda n: str(n)[:9])
def test_what_is_no_fraction_is_an_error_of_the_handler(wrong: Any) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        in_the_row(wrong, None)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", None),
        ("42 of 50\tr\u00e9sum\u00e9s\n", "42 of 50\tr\u00e9sum\u00e9s\n"),
        ("a\ud800b\x00c\x1b[2J\x9b", "a\ufffdb\ufffdc\ufffd[2J\ufffd"),
        ("x" * 500_000, "x" * 200),
        (7, "7"),
        (ValueError("no"), "no"),
        (np.str_("half"), "half"),
    ],
    ids=["nothing", "text", "surrogate and controls", "long", "a number", "an error", "numpy's text"],
)
def test_a_message_is_made_fit_to_be_shown(said: Any, shown: str | None) -> None:
    assert in_the_row(0.5, said) == Progress(0.5, shown)
