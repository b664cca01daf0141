"""The worker and the sweeper on real stores: how jobs end, and what becomes of them when calls fail."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import BaseModel

from coatcheck import blobs, due, pack
from coatcheck.clock import DAY, MINUTE, SECOND
from coatcheck.context import Context
from coatcheck.deployment import Deployment
from coatcheck.ids import make_id
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.record import Blob, Event, Job
from coatcheck.retry import Reject, RetryLater, RetryPolicy
from coatcheck.table import items, moves
from coatcheck.table.keys import JobKey
from coatcheck.types import Continue, Handler, JobType, Result, Upload, handlers
from tests.aws.worker.doors import Counting, Died, LosesReplies, Mortal, Refusing
from worker.aws import Aws, Boto
from worker.heart import Stop
from worker.run import run_job
from worker.sink import INLINE_LIMIT
from worker.sweep import sweep
from worker.tools import Again, Done, Tools, Verdict, system_clock


class Number(BaseModel):
    """What the handlers of these tests take and give."""

    n: int = 0


@dataclass
class Clock:
    """The machine's clock, with an offset the test moves."""

    ahead: int = 0

    def __call__(self) -> int:
        return system_clock() + self.ahead


@dataclass
class World:
    """One tenant's jobs, and a worker whose handler the test chooses."""

    door: Aws
    deployment: Deployment
    tenant: str
    clock: Clock = field(default_factory=Clock)

    def tools(self, run: Callable[..., Any], door: Aws | None = None, output: type[Any] = Number) -> Tools:
        policy = RetryPolicy(base=0, cap=0)
        job_type = JobType("test.job", Number, output, timeout=60, max_attempts=3, retry=policy)
        bound = handlers(Handler(job_type, run))
        return Tools(door or self.door, self.deployment, bound, self.clock, roll=lambda: 0.5)

    def submit(self, value: Any = None, **changes: Any) -> Job:
        now = self.clock()
        text = pack.to_json(value or {"n": 1})
        large = len(text) > INLINE_LIMIT
        stored = Blob(len(text), hashlib.sha256(text).digest(), "application/json", inline=None if large else text)
        job = Job(
            tenant=self.tenant,
            id=make_id("job", secrets.token_bytes(16)),
            type="test.job",
            lane="default",
            status=Status.QUEUED,
            version=1,
            created_at=now,
            updated_at=now,
            attempt=0,
            max_attempts=3,
            timeout=60 * SECOND,
            retention=DAY,
            digest=b"d" * 32,
            input=stored,
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
            history=(Event("job.queued", now),),
        )
        job = replace(job, **changes)
        if large:
            key, bucket = blobs.input_key(job), self.deployment.bucket
            self.door.send(blobs.put(bucket, key, text, content_type="application/json", sha256=stored.sha256))
        assert self.door.send(items.put_job(self.deployment.table, job, now=now)) is None
        return job

    def row(self, job: Job) -> Job:
        found = self.door.send(items.get_job(self.deployment.table, JobKey(job.tenant, job.id)))
        assert found is not None
        return found

    def run(self, tools: Tools, job: Job) -> Verdict:
        return run_job(tools, JobMessage(tenant=job.tenant, job=job.id), last_words=_unheard)

    def sweep(self, tools: Tools) -> dict[str, int]:
        return dict(sweep(tools, until=self.clock() + 30 * SECOND))

    def stored(self, job: Job) -> list[str]:
        prefixes = blobs.job_prefixes(job.tenant, job.id)
        return [key for p in prefixes for key in self.door.send(blobs.keys_under(self.deployment.bucket, p))]


def _unheard(_: Verdict) -> None:
    raise AssertionError("the process was to be ended")


@pytest.fixture
def world(aws: Boto, deployment: Deployment, tenant: str) -> Iterator[World]:
    """A world of its own; what it leaves due is settled, so that it does not trouble the next test's sweeps."""
    made = World(aws, deployment, tenant)
    yield made
    for entry in aws.send(items.list_jobs(deployment.table, tenant, limit=100)).entries:
        job = aws.send(items.get_job(deployment.table, entry.key))
        assert job is not None
        aws.send(items.postpone(deployment.table, job, due_at=None, dispatches=0))


def double(value: Number, _: Context) -> Number:
    return Number(n=2 * value.n)


class TestEndings:
    def test_a_job_is_claimed_run_and_settled_in_two_writes(self, world: World) -> None:
        counting = Counting(world.door)
        job = world.submit({"n": 21})
        assert world.run(world.tools(double, counting), job) == Done()
        row = world.row(job)
        assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)
        assert row.result is not None
        assert row.result.inline == b'{"n":42}'
        assert counting.operations == ["UpdateItem", "UpdateItem"]

    def test_a_large_input_and_result_go_through_s3(self, world: World) -> None:
        noise = secrets.token_hex(40_000)

        class Text(BaseModel):
            text: str

        def echo(value: Text, _: Context) -> Result:
            return Result(iter([value.text.encode()] * 500), "text/plain", "noise.txt")

        tools = replace(world.tools(double), handlers=handlers(Handler(JobType("test.job", Text, Result), echo)))
        job = world.submit({"text": noise})
        assert job.input.inline is None
        world.run(tools, job)
        row = world.row(job)
        assert row.result is not None
        assert (row.result.size, row.result.inline) == (40_000_000, None)
        body = world.door.send(blobs.get(world.deployment.bucket, blobs.result_key(row))).read()
        assert body == noise.encode() * 500

    def test_an_async_handler_runs_too(self, world: World) -> None:
        async def later(value: Number, _: Context) -> Number:
            await asyncio.sleep(0)
            return value

        job = world.submit()
        world.run(world.tools(later), job)
        assert world.row(job).status is Status.SUCCEEDED

    def test_an_upload_is_read_as_a_file_is(self, world: World) -> None:
        upload = Upload.model_validate({"$upload": f"upl_{secrets.token_hex(8)}"})
        lines = [b"%d words of a line\n" % n for n in range(100_000)]
        text = b"".join(lines)
        key = blobs.upload_key(world.tenant, upload.id)
        put = blobs.put(
            world.deployment.bucket, key, text, content_type="text/plain", sha256=hashlib.sha256(text).digest()
        )
        world.door.send(put)

        def read(_: Number, ctx: Context) -> Number:
            file = ctx.open_input(upload)
            assert file.read(3) == text[:3]
            assert [file.readline(), *file] == [lines[0][3:], *lines[1:]]
            file.close()
            assert ctx.input_path(upload).read_bytes() == text
            with pytest.raises(FileNotFoundError):
                ctx.open_input(Upload.model_validate({"$upload": "upl_none"}))
            return Number(n=1)

        job = world.submit(max_attempts=1)
        world.run(world.tools(read), job)
        assert world.row(job).status is Status.SUCCEEDED

    def test_artifacts_are_seen_with_the_result(self, world: World) -> None:
        def make(_: Number, ctx: Context) -> None:
            for name in ("a.txt", "b.txt"):
                with ctx.artifact(name, "text/plain") as file:
                    file.write(name.encode())

        job = world.submit()
        world.run(world.tools(make, output=type(None)), job)
        row = world.row(job)
        assert row.artifact_count == 2
        made = world.door.send(items.get_artifacts(world.deployment.table, row))
        assert [(blob.filename, blob.size) for blob in made] == [("a.txt", 5), ("b.txt", 5)]

    def test_a_rejected_job_fails_at_once_and_says_why(self, world: World) -> None:
        def refuse(_: Number, ctx: Context) -> Number:
            with ctx.artifact("half.txt") as file:
                file.write(b"x")
            raise Reject("n must be odd")

        job = world.submit()
        assert world.run(world.tools(refuse), job) == Done()
        row = world.row(job)
        assert (row.status, row.attempt) == (Status.FAILED, 1)
        assert row.error is not None
        assert (row.error.code, row.error.detail) == ("rejected", "n must be odd")
        assert world.stored(job) == []

    def test_a_failing_job_is_tried_until_its_attempts_are_used_up(self, world: World) -> None:
        def fail(_: Number, __: Context) -> Number:
            raise ValueError("the secret is swordfish")

        job = world.submit()
        verdicts = [world.run(world.tools(fail), job) for _ in range(3)]
        assert verdicts == [Again(0), Again(0), Done()]
        row = world.row(job)
        assert (row.status, row.attempt) == (Status.FAILED, 3)
        assert "swordfish" not in str(row)
        assert "ValueError" in str(row.error)

    def test_a_handler_may_ask_to_be_run_later(self, world: World) -> None:
        def later(_: Number, ctx: Context) -> Number:
            if ctx.attempt == 1:
                raise RetryLater(120)
            return Number()

        job = world.submit()
        tools = world.tools(later)
        assert world.run(tools, job) == Again(120)
        assert isinstance(early := world.run(tools, job), Again)
        assert 1 <= early.seconds <= 120
        world.clock.ahead = 120 * SECOND
        assert world.run(tools, job) == Done()
        assert world.row(job).status is Status.SUCCEEDED

    def test_a_wait_longer_than_a_queue_can_is_left_to_the_sweeper(self, world: World) -> None:
        def much_later(_: Number, ctx: Context) -> Number:
            if ctx.attempt == 1:
                raise RetryLater(5 * 3600)
            return Number()

        job = world.submit()
        counting = Counting(world.door)
        tools = world.tools(much_later, counting)
        assert world.run(tools, job) == Done()
        world.clock.ahead = 5 * 3600 * SECOND - due.LOOKAHEAD + MINUTE
        start_at = world.row(job).start_at
        assert start_at is not None
        before = world.clock()
        assert world.sweep(tools) == {"woken": 1}
        (sent,) = [call for call in counting.calls if call.operation == "SendMessage"]
        assert start_at - world.clock() <= sent.params["DelaySeconds"] * SECOND < start_at - before + SECOND

    def test_a_job_goes_on_from_its_checkpoint_with_no_attempt_used(self, world: World) -> None:
        def count(_: Number, ctx: Context) -> Number | Continue:
            reached = ctx.checkpoint or 0
            return Number(n=reached) if reached == 5 else Continue(reached + 1)

        job = world.submit(max_attempts=1)
        tools = world.tools(count)
        while world.run(tools, job) == Again(0):
            pass
        row = world.row(job)
        assert row.status is Status.SUCCEEDED
        assert row.result is not None
        assert row.result.inline == b'{"n":5}'
        assert (row.attempt, row.max_attempts) == (6, 6)

    def test_a_large_checkpoint_comes_back_whole_even_after_a_failed_attempt(self, world: World) -> None:
        noise = secrets.token_hex(50_000)

        def three_times(_: Number, ctx: Context) -> Number | Continue:
            if ctx.attempt == 1:
                return Continue(noise)
            if ctx.attempt == 2:
                raise ValueError
            return Number(n=int(ctx.checkpoint == noise))

        job = world.submit()
        tools = world.tools(three_times)
        assert [world.run(tools, job) for _ in range(3)] == [Again(0), Again(0), Done()]
        result = world.row(job).result
        assert result is not None
        assert result.inline == b'{"n":1}'

    @pytest.mark.parametrize("bad", [object(), "text", 7, [1, 2]], ids=["object", "str", "int", "list of int"])
    def test_what_is_no_result_fails_the_job(self, world: World, bad: object) -> None:
        job = world.submit(max_attempts=1)
        world.run(world.tools(lambda *_: bad), job)
        row = world.row(job)
        assert row.status is Status.FAILED
        assert row.error is not None
        assert row.error.code == "bad-result"

    def test_a_type_without_a_handler_waits_for_a_worker_that_has_one(self, world: World) -> None:
        job = world.submit(type="test.unknown", max_attempts=1)
        tools = world.tools(double)
        assert world.run(tools, job) == Again(60)
        assert world.row(job).status is Status.QUEUED
        world.clock.ahead = DAY + MINUTE
        assert world.run(tools, job) == Done()
        row = world.row(job)
        assert row.status is Status.FAILED
        assert row.error is not None
        assert row.error.code == "unknown-type"


class TestStops:
    """Each kind of handler, told to stop for each reason."""

    @staticmethod
    def looking(_: Number, ctx: Context) -> Number:
        while True:
            ctx.check()
            time.sleep(0.02)

    @staticmethod
    async def awaiting(_: Number, __: Context) -> Number:
        await asyncio.sleep(60)
        return Number()

    @pytest.mark.parametrize("handler", [looking, awaiting], ids=["sync", "async"])
    def test_a_canceled_job_stops(self, world: World, handler: Any) -> None:
        deployment = world.deployment.model_copy(update={"lease": 3})
        tools = replace(world.tools(handler), deployment=deployment)
        job = world.submit()
        canceling = threading.Thread(target=self._cancel_when_running, args=(world, job))
        canceling.start()
        assert world.run(tools, job) == Done()
        canceling.join()
        row = world.row(job)
        assert row.status is Status.CANCELED
        assert [event.type for event in row.history][-2:] == ["job.canceling", "job.canceled"]

    @staticmethod
    def _cancel_when_running(world: World, job: Job) -> None:
        while (row := world.row(job)).status is not Status.RUNNING:
            time.sleep(0.02)
        assert isinstance(world.door.send(moves.request_cancel(world.deployment.table, row, now=world.clock())), Job)

    @pytest.mark.parametrize("handler", [looking, awaiting], ids=["sync", "async"])
    def test_an_attempt_past_its_timeout_stops_and_the_last_ends_the_job(self, world: World, handler: Any) -> None:
        job = world.submit(timeout=1 * SECOND, max_attempts=2)
        tools = world.tools(handler)
        assert world.run(tools, job) == Again(0)
        assert world.run(tools, job) == Done()
        row = world.row(job)
        assert row.status is Status.TIMED_OUT
        assert row.error is not None
        assert row.error.code == "timed-out"

    def test_a_cancel_that_comes_before_the_end_wins(self, world: World) -> None:
        def canceled_meanwhile(_: Number, __: Context) -> Number:
            self._cancel_when_running(world, job)
            return Number()

        job = world.submit()
        world.run(world.tools(canceled_meanwhile), job)
        row = world.row(job)
        assert (row.status, row.result) == (Status.CANCELED, None)

    def test_a_worker_that_lost_its_lease_settles_nothing(self, world: World) -> None:
        def outlived(_: Number, __: Context) -> Number:
            world.clock.ahead += 5 * MINUTE
            assert world.sweep(world.tools(double)) == {"requeued": 1}
            return Number(n=666)

        job = world.submit({"n": 1})
        world.run(world.tools(outlived), job)
        assert world.row(job).status is Status.QUEUED
        world.run(world.tools(double), job)
        row = world.row(job)
        assert row.result is not None
        assert (row.attempt, row.result.inline) == (2, b'{"n":2}')

    def test_a_job_handed_back_loses_no_attempt(self, world: World) -> None:
        def stop_at_once(_: Number, ctx: Context) -> Number:
            ctx._heart.order(Stop.HANDED_BACK)  # type: ignore[attr-defined]  # what a SIGTERM does
            ctx.check()
            return Number()

        job = world.submit(max_attempts=1)
        assert world.run(world.tools(stop_at_once), job) == Again(0)
        assert world.run(world.tools(double), job) == Done()
        assert world.row(job).status is Status.SUCCEEDED


class TestMessages:
    def test_a_second_message_changes_nothing(self, world: World) -> None:
        ran = []

        def count(_: Number, __: Context) -> Number:
            ran.append(1)
            assert world.run(tools, job) == Done()
            return Number()

        job = world.submit()
        tools = world.tools(count)
        world.run(tools, job)
        before = world.row(job)
        assert world.run(tools, job) == Done()
        assert world.row(job) == before
        assert len(ran) == 1

    def test_a_message_for_nothing_is_dropped(self, world: World) -> None:
        job = replace(world.submit(), id="job_never")
        assert world.run(world.tools(double), job) == Done()

    def test_a_scheduled_job_starts_at_its_time_and_not_before(self, world: World) -> None:
        start = world.clock() + 30 * SECOND
        job = world.submit(status=Status.SCHEDULED, start_at=start, run_at=start)
        tools = world.tools(double)
        assert isinstance(world.run(tools, job), Again)
        assert world.row(job).status is Status.SCHEDULED
        world.clock.ahead = 31 * SECOND
        assert world.run(tools, job) == Done()
        events = [event.type for event in world.row(job).history]
        assert events[1:] == ["job.queued", "job.started", "job.succeeded"]

    def test_a_job_is_not_started_past_its_queue_ttl(self, world: World) -> None:
        job = world.submit(queue_deadline=world.clock() + SECOND)
        world.clock.ahead = 2 * SECOND
        assert world.run(world.tools(double), job) == Done()
        assert world.row(job).status is Status.EXPIRED


class TestSweeper:
    def test_a_job_whose_message_was_never_sent_is_woken_ever_less_often(self, world: World) -> None:
        job = world.submit()
        tools = world.tools(double)
        assert world.sweep(tools) == {}
        woken = []
        for minutes in range(1, 60):
            world.clock.ahead = minutes * MINUTE
            if world.sweep(tools) == {"woken": 1}:
                woken.append(minutes)
        assert woken[0] <= 1
        assert 4 <= len(woken) <= 6
        world.run(tools, job)
        assert world.sweep(tools) == {}

    def test_a_lost_worker_is_noticed_a_lease_and_a_sweep_later(self, world: World) -> None:
        job = world.submit()
        with pytest.raises(Died):
            world.run(world.tools(double, Mortal(world.door, 0, after=True)), job)
        tools = world.tools(double)
        world.clock.ahead = 59 * SECOND
        assert world.sweep(tools).get("requeued") is None
        world.clock.ahead = 61 * SECOND
        assert world.sweep(tools) == {"requeued": 1}

    @pytest.mark.parametrize("timeout, status", [(30 * SECOND, Status.TIMED_OUT), (DAY, Status.FAILED)])  # noqa: PT006
    def test_a_lost_last_attempt_ends_the_job_and_says_which_way(
        self, world: World, timeout: int, status: Status
    ) -> None:
        job = world.submit(max_attempts=1, timeout=timeout)
        with pytest.raises(Died):
            world.run(world.tools(double, Mortal(world.door, 0, after=True)), job)
        world.clock.ahead = 2 * MINUTE
        assert world.sweep(world.tools(double)) == {"given up": 1}
        assert world.row(job).status is status

    def test_a_cancel_whose_worker_died_is_finished(self, world: World) -> None:
        job = world.submit()
        with pytest.raises(Died):
            world.run(world.tools(double, Mortal(world.door, 0, after=True)), job)
        world.door.send(moves.request_cancel(world.deployment.table, world.row(job), now=world.clock()))
        world.clock.ahead = 2 * MINUTE
        assert world.sweep(world.tools(double)) == {"canceled": 1}
        assert world.row(job).status is Status.CANCELED

    def test_one_job_that_cannot_be_helped_keeps_none_from_it(self, world: World) -> None:
        jobs = [world.submit() for _ in range(3)]
        world.clock.ahead = 2 * MINUTE
        sick = JobKey(world.tenant, jobs[1].id).item()
        refusing = Refusing(world.door, lambda call: call.operation == "GetItem" and call.params["Key"] == sick)
        assert world.sweep(world.tools(double, refusing)) == {"woken": 2, "failed": 1}


class TestCrashes:
    """A process that dies before or after any of its calls: the job still ends once, and well."""

    @staticmethod
    def work(value: Number, ctx: Context) -> Result:
        with ctx.artifact("copy.txt") as file:
            file.write(b"x" * value.n)
        return Result(b"y" * 1000 + secrets.token_bytes(600))

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
            if "SendMessage" in sent.operations:
                world.run(tools, job)
        row = world.row(job)
        assert row.status is Status.SUCCEEDED, f"died at call {at}"
        assert row.result is not None
        assert row.result.size == 1600
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


def test_small_things_stay_in_the_row(world: World) -> None:
    job = world.submit({"n": 5})
    world.run(world.tools(double), job)
    assert world.stored(job) == []
