"""Bytes that nothing points to go; those of others stay."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from coatcheck.authoring.context import Context
from coatcheck.authoring.types import Result
from coatcheck.core import due
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack
from tests.aws.worker.worker_harness import Number, WorkerHarness, double
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, lose_reply, on

RETENTION = 100 * SECOND
LARGE = 20 * 1024
"""Kilobytes that go out in three parts."""
EMPTY = hashlib.sha256(b"").digest()


def make_large_outputs(_: Number, ctx: Context) -> Result:
    """An artifact and a result that goes out in parts."""
    with ctx.artifact("a.bin") as file:
        file.write(b"a")
    return Result(secrets.token_bytes(1024) * LARGE)


def make_small_outputs(_: Number, ctx: Context) -> Result:
    """A result for which the row has no room."""
    ctx.check()
    return Result(secrets.token_bytes(64 * 1024))


def unfinished(harness: WorkerHarness) -> int:
    prefix = f"results/{harness.tenant}/"
    return len(harness.transport.send(s3.list_multipart_uploads(harness.settings.bucket, prefix)))


def test_nothing_is_left_of_a_worker_that_died_in_the_middle_of_an_upload(harness: WorkerHarness) -> None:
    job = harness.submit(max_attempts=99)
    died_with = set()
    for attempt in range(10):
        # the first call is the claim, the second the artifact; then the upload begins
        crashing = crash_at(harness.transport, at=2 + attempt % 4, after=True)
        with contextlib.suppress(ProcessDied):
            harness.run(harness.dependencies(make_large_outputs, crashing, Result), job)
        died_with.add((len(harness.stored(job)), unfinished(harness)))
        harness.clock.ahead += 3 * MINUTE
        assert harness.sweep(harness.dependencies(double)) == {"requeued": 1}
        assert (harness.stored(job), unfinished(harness)) == ([], 0)
        harness.clock.ahead += 3 * MINUTE
    assert died_with >= {(1, 1)}
    harness.run(harness.dependencies(make_large_outputs, output=Result), job)
    row = harness.row(job)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 11)
    assert len(harness.stored(job)) == 2


def test_the_first_attempt_that_comes_too_late_discards_nothing_of_the_tenth(harness: WorkerHarness) -> None:
    def make(_: Number, ctx: Context) -> Number:
        with ctx.artifact("a.bin") as file:
            file.write(b"a")
        if ctx.attempt == 1:
            harness.clock.ahead += 3 * MINUTE
            assert harness.sweep(dependencies) == {"requeued": 1}
            while harness.run(dependencies, job) != Ack():
                pass
        elif ctx.attempt < 10:
            raise ValueError
        return Number()

    dependencies = harness.dependencies(make)
    job = harness.submit(max_attempts=99)
    harness.run(dependencies, job)
    row = harness.row(job)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 10)
    assert harness.stored(job) == [s3_keys.artifact_key(row, "a.bin")]


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "deleted"])
def test_what_a_job_left_goes_with_its_retention_and_the_next_of_its_id_keeps_its_own(
    harness: WorkerHarness,
    deleted: bool,  # noqa: FBT001
) -> None:
    job = harness.submit({"text": "x" * 2000}, retention=RETENTION)
    harness.run(harness.dependencies(make_large_outputs, output=Result), job)
    assert len(harness.stored(job)) == 3
    harness.clock.ahead = 60 * SECOND
    assert harness.sweep(harness.dependencies(double)) == {}
    late = replace(job, created_at=job.created_at + 1)
    bucket = harness.settings.bucket
    harness.transport.send(s3.put(bucket, s3_keys.input_key(late), b"", content_type="x/y", sha256=EMPTY))
    if deleted:
        harness.transport.send(job_updates.purge_job(harness.settings.table, job, now=harness.clock()))
    else:
        harness.clock.ahead = 2 * RETENTION
    next_one = replace(job, created_at=harness.clock() + 1)
    harness.transport.send(s3.put(bucket, s3_keys.input_key(next_one), b"", content_type="x/y", sha256=EMPTY))
    harness.clock.ahead += MINUTE
    assert harness.sweep(harness.dependencies(double)) == {"removed": 1}
    assert harness.stored(job) == [s3_keys.input_key(next_one)]
    # what is beside the row goes by its TTL, unless a DELETE has died before it was removed
    assert (harness.transport.send(job_items.list_job_items(harness.settings.table, job)) == []) is deleted
    assert harness.sweep(harness.dependencies(double)) == {}


def test_a_small_job_that_went_well_is_never_looked_at_again(harness: WorkerHarness) -> None:
    job = harness.submit()
    harness.run(harness.dependencies(double), job)
    assert harness.row(job).due_at is None
    harness.clock.ahead = 30 * DAY
    assert harness.sweep(harness.dependencies(double)) == {}


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "deleted"])
def test_what_arrives_after_a_job_was_removed_is_removed_too(
    harness: WorkerHarness,
    deleted: bool,  # noqa: FBT001
) -> None:
    job = harness.submit(max_attempts=1, retention=RETENTION)
    held: list[Call[Any]] = []

    def hold(call: Call[Any]) -> NoReturn:
        held.append(call)
        raise AwsUnavailable(call, "ReadTimeoutError")

    transport = FaultyTransport(harness.transport, Fault(hold, on("PutObject")))
    harness.run(harness.dependencies(make_small_outputs, transport, Result), job)
    assert harness.row(job).status is Status.FAILED
    if deleted:
        harness.transport.send(job_updates.purge_job(harness.settings.table, job, now=harness.clock()))
        harness.clock.ahead = MINUTE
    else:
        harness.clock.ahead = 2 * RETENTION
    assert harness.sweep(harness.dependencies(double)) == {"removed": 1}
    for call in held:
        harness.transport.send(call)
    assert len(harness.stored(job)) == 1
    assert harness.sweep(harness.dependencies(double)) == {}
    harness.clock.ahead = due.LATE_WRITES + MINUTE
    assert harness.sweep(harness.dependencies(double)) == {"removed": 1}
    assert (harness.stored(job), harness.row(job).due_at) == ([], None)


def test_a_job_that_went_well_at_once_is_removed_once(harness: WorkerHarness) -> None:
    job = harness.submit(retention=RETENTION)
    harness.run(harness.dependencies(make_small_outputs, output=Result), job)
    harness.transport.send(job_updates.purge_job(harness.settings.table, job, now=harness.clock()))
    harness.clock.ahead = MINUTE
    assert harness.sweep(harness.dependencies(double)) == {"removed": 1}
    assert (harness.stored(job), harness.row(job).due_at) == ([], None)


def test_an_artifact_whose_upload_seemed_to_fail_goes_with_a_job_that_has_nothing_else_to_remove(
    harness: WorkerHarness,
) -> None:
    def make(value: Number, ctx: Context) -> Number:
        with contextlib.suppress(Exception), ctx.artifact("a.bin") as file:
            file.write(b"a")
        return value

    job = harness.submit(retention=RETENTION)
    lossy = FaultyTransport(harness.transport, Fault(lose_reply, on("PutObject"), times=1))
    harness.run(harness.dependencies(make, lossy), job)
    row = harness.row(job)
    assert (row.status, row.attempt, row.artifact_count) == (Status.SUCCEEDED, 1, 0)
    assert s3_keys.artifact_key(row, "a.bin") in harness.stored(job)
    harness.clock.ahead = 2 * RETENTION
    harness.sweep(harness.dependencies(double))
    assert harness.stored(job) == []


def test_a_sweeper_that_dies_while_it_removes_is_followed_by_one_that_does(harness: WorkerHarness) -> None:
    at = 8
    while True:
        harness.clock.ahead = 0
        job = harness.submit({"text": "x" * 2000}, retention=RETENTION)
        harness.run(harness.dependencies(double), job)
        harness.clock.ahead = 2 * RETENTION
        crashing = crash_at(harness.transport, at, after=False)
        with contextlib.suppress(ProcessDied):
            harness.sweep(harness.dependencies(double, crashing))
        harness.sweep(harness.dependencies(double))
        assert (harness.stored(job), harness.row(job).due_at) == ([], None)
        if not crashing.died:
            break
        at += 1
    assert at > 12
