"""Bytes that nothing points to go; those of others stay."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import replace

import pytest

from coatcheck import blobs
from coatcheck.clock import DAY, MINUTE, SECOND
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from coatcheck.table import items, notes
from coatcheck.types import Result
from tests.aws.worker.doors import Died, Mortal
from tests.aws.worker.world import Number, World, double
from worker.tools import Done

RETENTION = 100 * SECOND
MUCH = 20 * 1024
"""Kilobytes that go out in three parts."""
EMPTY = hashlib.sha256(b"").digest()


def make_much(_: Number, ctx: Context) -> Result:
    """An artifact and a result that goes out in parts."""
    with ctx.artifact("a.bin") as file:
        file.write(b"a")
    return Result(secrets.token_bytes(1024) * MUCH)


def unfinished(world: World) -> int:
    prefix = f"results/{world.tenant}/"
    return len(world.door.send(blobs.unfinished_under(world.deployment.bucket, prefix)))


def test_nothing_is_left_of_a_worker_that_died_in_the_middle_of_an_upload(world: World) -> None:
    job = world.submit(max_attempts=99)
    died_with = set()
    for attempt in range(10):
        # the first call is the claim, the second the artifact; then the upload begins
        mortal = Mortal(world.door, at=2 + attempt % 4, after=True)
        with contextlib.suppress(Died):
            world.run(world.tools(make_much, mortal, Result), job)
        died_with.add((len(world.stored(job)), unfinished(world)))
        world.clock.ahead += 3 * MINUTE
        assert world.sweep(world.tools(double)) == {"requeued": 1}
        assert (world.stored(job), unfinished(world)) == ([], 0)
        world.clock.ahead += 3 * MINUTE
    assert died_with >= {(1, 1)}
    world.run(world.tools(make_much, output=Result), job)
    row = world.row(job)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 11)
    assert len(world.stored(job)) == 2


def test_the_first_attempt_that_comes_too_late_discards_nothing_of_the_tenth(world: World) -> None:
    def make(_: Number, ctx: Context) -> Number:
        with ctx.artifact("a.bin") as file:
            file.write(b"a")
        if ctx.attempt == 1:
            world.clock.ahead += 3 * MINUTE
            assert world.sweep(tools) == {"requeued": 1}
            while world.run(tools, job) != Done():
                pass
        elif ctx.attempt < 10:
            raise ValueError
        return Number()

    tools = world.tools(make)
    job = world.submit(max_attempts=99)
    world.run(tools, job)
    row = world.row(job)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 10)
    assert world.stored(job) == [blobs.artifact_key(row, "a.bin")]


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "deleted"])
def test_what_a_job_left_goes_with_its_retention_and_the_next_of_its_id_keeps_its_own(
    world: World,
    deleted: bool,  # noqa: FBT001
) -> None:
    job = world.submit({"text": "x" * 2000}, retention=RETENTION)
    world.run(world.tools(make_much, output=Result), job)
    assert len(world.stored(job)) == 3
    world.clock.ahead = 60 * SECOND
    assert world.sweep(world.tools(double)) == {}
    late = replace(job, created_at=job.created_at + 1)
    bucket = world.deployment.bucket
    world.door.send(blobs.put(bucket, blobs.input_key(late), b"", content_type="x/y", sha256=EMPTY))
    if deleted:
        world.door.send(notes.forget_job(world.deployment.table, job, now=world.clock()))
    else:
        world.clock.ahead = 2 * RETENTION
    next_one = replace(job, created_at=world.clock() + 1)
    world.door.send(blobs.put(bucket, blobs.input_key(next_one), b"", content_type="x/y", sha256=EMPTY))
    world.clock.ahead += MINUTE
    assert world.sweep(world.tools(double)) == {"removed": 1}
    assert world.stored(job) == [blobs.input_key(next_one)]
    # what is beside the row goes by its TTL, unless a DELETE has died before it was removed
    assert (world.door.send(items.items_beside(world.deployment.table, job)) == []) is deleted
    assert world.sweep(world.tools(double)) == {}


def test_a_small_job_that_went_well_is_never_looked_at_again(world: World) -> None:
    job = world.submit()
    world.run(world.tools(double), job)
    assert world.row(job).due_at is None
    world.clock.ahead = 30 * DAY
    assert world.sweep(world.tools(double)) == {}


def test_a_sweeper_that_dies_while_it_removes_is_followed_by_one_that_does(world: World) -> None:
    at = 8
    while True:
        world.clock.ahead = 0
        job = world.submit({"text": "x" * 2000}, retention=RETENTION)
        world.run(world.tools(double), job)
        world.clock.ahead = 2 * RETENTION
        mortal = Mortal(world.door, at, after=False)
        with contextlib.suppress(Died):
            world.sweep(world.tools(double, mortal))
        world.sweep(world.tools(double))
        assert (world.stored(job), world.row(job).due_at) == ([], None)
        if not mortal.died:
            break
        at += 1
    assert at > 12
