"""Processes that die at a call, and replies that are lost."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace

import pytest

from coatcheck.authoring.context import Context
from coatcheck.authoring.types import Result
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.clock import MINUTE
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack, Redeliver
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, on, repeat


class TestCrashes:
    """A process that dies before or after any of its calls: the job still ends once, and well."""

    @staticmethod
    def work(value: Number, ctx: Context) -> Result:
        with ctx.artifact("copy.txt") as file:
            file.write(b"x" * value.n)
        return Result(b"y" * 1000 + secrets.token_bytes(MAX_RESULT_IN_ROW))

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_worker_that_dies_at_any_call_is_made_good(self, harness: WorkerHarness, after: bool) -> None:  # noqa: FBT001
        at = 0
        while True:
            crashing = crash_at(harness.transport, at, after=after)
            job = harness.submit({"n": 3})
            with contextlib.suppress(ProcessDied):
                harness.run(harness.dependencies(self.work, crashing, Result), job)
            if not crashing.died:
                break
            self._recover(harness, job, at)
            at += 1
        assert at == 5, "claim, artifact, result, list of artifacts, settle"

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_sweeper_that_dies_at_any_call_is_made_good(self, harness: WorkerHarness, after: bool) -> None:  # noqa: FBT001
        at = 0
        while True:
            harness.clock.ahead = 0
            job = harness.submit({"n": 3})
            with pytest.raises(ProcessDied):
                harness.run(harness.dependencies(self.work, crash_at(harness.transport, 0, after=True), Result), job)
            harness.clock.ahead = 3 * MINUTE
            crashing = crash_at(harness.transport, at, after=after)
            with contextlib.suppress(ProcessDied):
                harness.sweep(harness.dependencies(self.work, crashing, Result))
            self._recover(harness, job, at)
            if not crashing.died:
                break
            at += 1
        assert at >= 8 + 3, "a query for each shard; read, requeue, send"

    def _recover(self, harness: WorkerHarness, job: Job, at: int) -> None:
        dependencies = harness.dependencies(self.work, output=Result)
        for _ in range(4):
            if harness.row(job).done:
                break
            harness.clock.ahead += 2 * MINUTE
            sent = FaultyTransport(harness.transport)
            harness.sweep(replace(dependencies, transport=sent))
            if {"SendMessage", "SendMessageBatch"} & set(sent.operations):
                harness.run(dependencies, job)
        row = harness.row(job)
        assert row.status is Status.SUCCEEDED, f"died at call {at}"
        assert row.result is not None
        assert row.result.size == 1000 + MAX_RESULT_IN_ROW
        assert [event.type for event in row.history].count("job.succeeded") == 1

    @pytest.mark.parametrize("operation", ["UpdateItem", "PutItem", "PutObject"])
    def test_a_lost_reply_is_not_taken_for_someone_elses_work(self, harness: WorkerHarness, operation: str) -> None:
        losing = FaultyTransport(harness.transport, Fault(repeat, on(operation)))
        job = harness.submit({"n": 3})
        assert harness.run(harness.dependencies(self.work, losing, Result), job) == Ack()
        row = harness.row(job)
        assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)
        body = harness.transport.send(s3.get(harness.settings.bucket, s3_keys.result_key(row)))
        assert body is not None
        body.close()

    def test_a_retry_whose_reply_was_lost_still_comes_again(self, harness: WorkerHarness) -> None:
        def fail(_: Number, __: Context) -> Number:
            raise ValueError

        losing = FaultyTransport(harness.transport, Fault(repeat, on("UpdateItem")))
        job = harness.submit()
        assert harness.run(harness.dependencies(fail, losing), job) == Redeliver(0)
