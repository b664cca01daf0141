"""How jobs end, and what is kept of them."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import replace

import pytest
from pydantic import BaseModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import Reject, RetryLater
from coatcheck.authoring.types import Continue, Handler, JobType, Result
from coatcheck.authoring.upload import Upload
from coatcheck.core import due
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack, Redeliver
from coatcheck_worker.runners import NoRunners
from tests.aws.worker.worker_harness import Number, WorkerHarness, double
from tests.direct_runners import DirectRunners
from tests.transports import FaultyTransport


class TestEndings:
    def test_a_job_is_claimed_run_and_settled_in_two_writes(self, harness: WorkerHarness) -> None:
        counting = FaultyTransport(harness.transport)
        job = harness.submit({"n": 21})
        assert harness.run(harness.dependencies(double, counting), job) == Ack()
        row = harness.row(job)
        assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)
        assert row.result is not None
        assert row.result.inline == b'{"n":42}'
        assert counting.operations == ["UpdateItem", "UpdateItem"]

    def test_a_large_input_and_result_go_through_s3(self, harness: WorkerHarness) -> None:
        noise = secrets.token_hex(40_000)

        class Text(BaseModel):
            text: str

        def echo(value: Text, _: Context) -> Result:
            return Result(iter([value.text.encode()] * 500), "text/plain", "noise.txt")

        handler = Handler(JobType("test.job", Text, Result), echo)
        runners = DirectRunners({"test.job": handler}, harness.transport)
        dependencies = replace(harness.dependencies(double), runners=runners)
        job = harness.submit({"text": noise})
        assert job.input.inline is None
        harness.run(dependencies, job)
        row = harness.row(job)
        assert row.result is not None
        assert (row.result.size, row.result.inline) == (40_000_000, None)
        body = harness.transport.send(s3.get(harness.settings.bucket, s3_keys.result_key(row))).read()
        assert body == noise.encode() * 500

    def test_an_async_handler_runs_too(self, harness: WorkerHarness) -> None:
        async def later(value: Number, _: Context) -> Number:
            await asyncio.sleep(0)
            return value

        job = harness.submit()
        harness.run(harness.dependencies(later), job)
        assert harness.row(job).status is Status.SUCCEEDED

    def test_an_upload_is_read_as_a_file_is(self, harness: WorkerHarness) -> None:
        upload = Upload.model_validate({"$upload": f"upl_{secrets.token_hex(8)}"})
        lines = [b"%d words of a line\n" % n for n in range(100_000)]
        text = b"".join(lines)
        key = s3_keys.upload_key(harness.tenant, upload.id)
        put = s3.put(
            harness.settings.bucket, key, text, content_type="text/plain", sha256=hashlib.sha256(text).digest()
        )
        harness.transport.send(put)

        def read(_: Number, ctx: Context) -> Number:
            file = ctx.open_input(upload)
            assert file.read(3) == text[:3]
            assert [file.readline(), *file] == [lines[0][3:], *lines[1:]]
            file.close()
            assert ctx.input_path(upload).read_bytes() == text
            with pytest.raises(FileNotFoundError):
                ctx.open_input(Upload.model_validate({"$upload": "upl_none"}))
            return Number(n=1)

        job = harness.submit(max_attempts=1)
        harness.run(harness.dependencies(read), job)
        assert harness.row(job).status is Status.SUCCEEDED

    def test_artifacts_are_seen_with_the_result(self, harness: WorkerHarness) -> None:
        def make(_: Number, ctx: Context) -> None:
            for name in ("a.txt", "b.txt"):
                with ctx.artifact(name, "text/plain") as file:
                    file.write(name.encode())

        job = harness.submit()
        harness.run(harness.dependencies(make, output=type(None)), job)
        row = harness.row(job)
        assert row.artifact_count == 2
        made = harness.transport.send(job_items.get_artifacts(harness.settings.table, row))
        assert [(one.name, one.blob.size) for one in made] == [("a.txt", 5), ("b.txt", 5)]

    def test_a_rejected_job_fails_at_once_and_says_why(self, harness: WorkerHarness) -> None:
        def refuse(_: Number, ctx: Context) -> Number:
            with ctx.artifact("half.txt") as file:
                file.write(b"x")
            raise Reject("n must be odd, not \ud800\x00")

        job = harness.submit()
        assert harness.run(harness.dependencies(refuse), job) == Ack()
        row = harness.row(job)
        assert (row.status, row.attempt) == (Status.FAILED, 1)
        assert row.error is not None
        assert (row.error.code, row.error.detail) == ("rejected", "n must be odd, not \ufffd\ufffd")
        assert harness.stored(job) == []

    def test_a_failing_job_is_tried_until_its_attempts_are_used_up(self, harness: WorkerHarness) -> None:
        def fail(_: Number, __: Context) -> Number:
            raise ValueError("the secret is swordfish")

        job = harness.submit()
        verdicts = [harness.run(harness.dependencies(fail), job) for _ in range(3)]
        assert verdicts == [Redeliver(0), Redeliver(0), Ack()]
        row = harness.row(job)
        assert (row.status, row.attempt) == (Status.FAILED, 3)
        assert "swordfish" not in str(row)
        assert "ValueError" in str(row.error)

    def test_a_handler_may_ask_to_be_run_later(self, harness: WorkerHarness) -> None:
        def later(_: Number, ctx: Context) -> Number:
            if ctx.attempt == 1:
                raise RetryLater(60)
            return Number()

        job = harness.submit()
        dependencies = harness.dependencies(later)
        assert harness.run(dependencies, job) == Redeliver(60)
        assert isinstance(early := harness.run(dependencies, job), Redeliver)
        assert 1 <= early.seconds <= 60
        harness.clock.ahead = 60 * SECOND
        assert harness.run(dependencies, job) == Ack()
        assert harness.row(job).status is Status.SUCCEEDED

    @pytest.mark.parametrize(
        ("wait", "handed_over"), [(61, 0), (14 * 60, 0), (5 * 3600, 5 * 3600 * SECOND - due.LOOKAHEAD)]
    )
    def test_a_wait_that_would_keep_a_message_in_flight_is_left_to_the_sweeper(
        self, harness: WorkerHarness, wait: int, handed_over: int
    ) -> None:
        """A queue takes 120,000 messages in flight, and one that is hidden counts."""

        def much_later(_: Number, ctx: Context) -> Number:
            if ctx.attempt == 1:
                raise RetryLater(wait)
            return Number()

        job = harness.submit()
        counting = FaultyTransport(harness.transport)
        dependencies = harness.dependencies(much_later, counting)
        assert harness.run(dependencies, job) == Ack()
        harness.clock.ahead = handed_over + (MINUTE if handed_over else 0)
        start_at = harness.row(job).start_at
        assert start_at is not None
        before = harness.clock()
        assert harness.sweep(dependencies) == {"woken": 1}
        ((sent,),) = [call.params["Entries"] for call in counting.calls if call.operation == "SendMessageBatch"]
        assert start_at - harness.clock() <= sent["DelaySeconds"] * SECOND < start_at - before + SECOND

    def test_a_job_goes_on_from_its_checkpoint_with_no_attempt_used(self, harness: WorkerHarness) -> None:
        def count(_: Number, ctx: Context) -> Number | Continue:
            reached = ctx.checkpoint or 0
            return Number(n=reached) if reached == 5 else Continue(reached + 1)

        job = harness.submit(max_attempts=1)
        dependencies = harness.dependencies(count)
        while harness.run(dependencies, job) == Redeliver(0):
            pass
        row = harness.row(job)
        assert row.status is Status.SUCCEEDED
        assert row.result is not None
        assert row.result.inline == b'{"n":5}'
        assert (row.attempt, row.max_attempts) == (6, 6)

    def test_a_large_checkpoint_comes_back_whole_even_after_a_failed_attempt(self, harness: WorkerHarness) -> None:
        noise = secrets.token_hex(50_000)

        def three_times(_: Number, ctx: Context) -> Number | Continue:
            if ctx.checkpoint is None:
                return Continue(noise)
            if ctx.attempt == 1:
                raise ValueError
            return Number(n=int(ctx.checkpoint == noise))

        job = harness.submit()
        dependencies = harness.dependencies(three_times)
        assert [harness.run(dependencies, job) for _ in range(3)] == [Redeliver(0), Redeliver(0), Ack()]
        result = harness.row(job).result
        assert result is not None
        assert result.inline == b'{"n":1}'

    @pytest.mark.parametrize(
        "bad", [object(), "text", 7, [1, 2], {"n": 1}, {}], ids=["object", "str", "int", "list of int", "dict", "empty"]
    )
    def test_what_is_no_result_fails_the_job(self, harness: WorkerHarness, bad: object) -> None:
        job = harness.submit(max_attempts=1)
        harness.run(harness.dependencies(lambda *_: bad), job)
        row = harness.row(job)
        assert row.status is Status.FAILED
        assert row.error is not None
        assert row.error.code == "bad-result"

    def test_a_result_of_another_type_is_named_with_what_was_expected(self, harness: WorkerHarness) -> None:
        job = harness.submit(max_attempts=1)
        harness.run(harness.dependencies(lambda *_: {"n": 1}), job)
        error = harness.row(job).error
        assert error is not None
        assert error.detail == f"{job.type} returned dict, not Number"

    @pytest.mark.parametrize("age", [0, 2 * DAY], ids=["new", "scheduled two days ago"])
    def test_a_type_without_a_handler_waits_a_day_for_a_worker_that_has_one(
        self, harness: WorkerHarness, age: int
    ) -> None:
        """It is a row as older versions wrote them, too: of a job that was not missed before."""
        created = harness.clock() - age
        job = harness.submit(type="test.unknown", max_attempts=1, created_at=created, start_at=created + age)
        dependencies = harness.dependencies(double)
        missed = harness.clock()
        assert harness.run(dependencies, job) == Redeliver(60)
        since = harness.row(job).type_missed_at
        assert missed <= (since or 0) <= harness.clock()
        harness.clock.ahead = DAY - MINUTE
        assert harness.run(dependencies, job) == Redeliver(60)
        assert harness.row(job).type_missed_at == since
        harness.clock.ahead = DAY + MINUTE
        assert harness.run(dependencies, job) == Ack()
        row = harness.row(job)
        assert row.status is Status.FAILED
        assert row.error is not None
        assert row.error.code == "unknown-type"

    def test_a_type_that_is_missed_again_after_it_was_known_has_another_day(self, harness: WorkerHarness) -> None:
        def failing(_: Number, __: Context) -> Number:
            raise RetryLater(60)

        job = harness.submit()
        known = harness.dependencies(failing)
        unknown = replace(known, runners=NoRunners())
        assert harness.run(unknown, job) == Redeliver(60)
        harness.clock.ahead = DAY - MINUTE
        assert harness.run(known, job) == Redeliver(60)
        harness.clock.ahead = 2 * DAY
        assert harness.run(unknown, job) == Redeliver(60)
        harness.clock.ahead += DAY + MINUTE
        assert harness.run(unknown, job) == Ack()
        assert harness.row(job).status is Status.FAILED


def test_small_things_stay_in_the_row(harness: WorkerHarness) -> None:
    job = harness.submit({"n": 5})
    harness.run(harness.dependencies(double), job)
    assert harness.stored(job) == []


HOSTILE_LABELS = {"surrogate": "a\ud800b", "long": "x" * 500_000, "lines": "a\r\nX-Evil: 1", "null": "\x00"}


@pytest.mark.parametrize("label", HOSTILE_LABELS.values(), ids=HOSTILE_LABELS)
@pytest.mark.parametrize("size", [10, 1000], ids=["in the row", "in the bucket"])
def test_what_a_handler_calls_its_bytes_cannot_keep_it_from_settling(
    harness: WorkerHarness, label: str, size: int
) -> None:
    def labelled(_: Number, ctx: Context) -> Result:
        with ctx.artifact("sheet", label) as sheet:
            sheet.write(b"x")
        return Result(secrets.token_bytes(size), content_type=label, filename=label)

    job = harness.submit()
    harness.run(harness.dependencies(labelled, output=Result), job)
    row = harness.row(job)
    assert row.status is Status.SUCCEEDED
    assert row.result is not None
    assert row.result.content_type == "application/octet-stream"
