"""Processes that die at a call, and replies that are lost."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace

import pytest

from coatcheck import blobs
from coatcheck.clock import MINUTE
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.table.room import RESULT_IN_ROW
from coatcheck.types import Result
from tests.aws.worker.doors import Counting, Died, LosesReplies, Mortal
from tests.aws.worker.world import Number, World
from worker.tools import Again, Done


class TestCrashes:
    """A process that dies before or after any of its calls: the job still ends once, and well."""

    @staticmethod
    def work(value: Number, ctx: Context) -> Result:
        with ctx.artifact("copy.txt") as file:
            file.write(b"x" * value.n)
        return Result(b"y" * 1000 + secrets.token_bytes(RESULT_IN_ROW))

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_worker_that_dies_at_any_call_is_made_good(self, world: World, after: bool) -> None:  # noqa: FBT001
        at = 0
        while True:
            mortal = Mortal(world.door, at, after=after)
            job = world.submit({"n": 3})
            with contextlib.suppress(Died):
                world.run(world.tools(self.work, mortal, Result), job)
            if not mortal.died:
                break
            self._heal(world, job, at)
            at += 1
        assert at == 5, "claim, artifact, result, list of artifacts, settle"

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_sweeper_that_dies_at_any_call_is_made_good(self, world: World, after: bool) -> None:  # noqa: FBT001
        at = 0
        while True:
            world.clock.ahead = 0
            job = world.submit({"n": 3})
            with pytest.raises(Died):
                world.run(world.tools(self.work, Mortal(world.door, 0, after=True), Result), job)
            world.clock.ahead = 3 * MINUTE
            mortal = Mortal(world.door, at, after=after)
            with contextlib.suppress(Died):
                world.sweep(world.tools(self.work, mortal, Result))
            self._heal(world, job, at)
            if not mortal.died:
                break
            at += 1
        assert at >= 8 + 3, "a query for each shard; read, requeue, send"

    def _heal(self, world: World, job: Job, at: int) -> None:
        tools = world.tools(self.work, output=Result)
        for _ in range(4):
            if world.row(job).done:
                break
            world.clock.ahead += 2 * MINUTE
            sent = Counting(world.door)
            world.sweep(replace(tools, aws=sent))
            if {"SendMessage", "SendMessageBatch"} & set(sent.operations):
                world.run(tools, job)
        row = world.row(job)
        assert row.status is Status.SUCCEEDED, f"died at call {at}"
        assert row.result is not None
        assert row.result.size == 1000 + RESULT_IN_ROW
        assert [event.type for event in row.history].count("job.succeeded") == 1

    @pytest.mark.parametrize("operation", ["UpdateItem", "PutItem", "PutObject"])
    def test_a_lost_reply_is_not_taken_for_someone_elses_work(self, world: World, operation: str) -> None:
        losing = LosesReplies(world.door, lambda call: call.operation == operation)
        job = world.submit({"n": 3})
        assert world.run(world.tools(self.work, losing, Result), job) == Done()
        row = world.row(job)
        assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)
        body = world.door.send(blobs.get(world.deployment.bucket, blobs.result_key(row)))
        assert body is not None
        body.close()

    def test_a_retry_whose_reply_was_lost_still_comes_again(self, world: World) -> None:
        def fail(_: Number, __: Context) -> Number:
            raise ValueError

        losing = LosesReplies(world.door, lambda call: call.operation == "UpdateItem")
        job = world.submit()
        assert world.run(world.tools(fail, losing), job) == Again(0)
