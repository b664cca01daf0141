"""The legs of a job: each keeps its artifacts, whatever becomes of the runs between and after them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import Reject
from coatcheck.authoring.types import Continue
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.job import Job, Legs
from coatcheck.core.lifecycle import SUCCEED, Status
from coatcheck_worker.dependencies import Ack, Redeliver
from coatcheck_worker.runner import job_context
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.finished_job import blob_of
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, on, repeat, repeat_after

LEGS = 3
Handle = Callable[[Number, Context], Number | Continue]


def page_by_page(_: Number, ctx: Context) -> Number | Continue:
    """A page in each leg."""
    page = ctx.checkpoint or 1
    write(ctx, f"page-{page}", f"text of page {page}")
    return Number(n=page) if page == LEGS else Continue(page + 1)


PAGES = {f"page-{page}": f"text of page {page}" for page in range(1, LEGS + 1)}


def write(ctx: Context, name: str, text: str) -> None:
    with ctx.artifact(name, "text/plain") as file:
        file.write(text.encode())


def play(harness: WorkerHarness, handle: Handle, job: Job) -> Job:
    """Run the job to its end."""
    dependencies = harness.dependencies(handle)
    while harness.run(dependencies, job) == Redeliver(0):
        pass
    return harness.row(job)


def shown(harness: WorkerHarness, job: Job) -> dict[str, str]:
    """The artifacts that clients are shown of the job, with what they can download."""
    made = run(harness.transport, all_artifacts(harness.settings.table, harness.row(job)))
    return {one.name: read(harness, s3_keys.artifact_key(job, one.name, one.attempt)) for one in made}


def read(harness: WorkerHarness, key: str) -> str:
    stream = harness.transport.send(s3.get(harness.settings.bucket, key))
    assert stream is not None, key
    with stream:
        return bytes(stream.read()).decode()


def test_the_artifacts_of_all_legs_are_shown_once_the_job_has_succeeded(harness: WorkerHarness) -> None:
    job = harness.submit()
    dependencies = harness.dependencies(page_by_page)
    for _ in range(LEGS - 1):
        assert harness.run(dependencies, job) == Redeliver(0)
        assert shown(harness, job) == {}
    assert harness.run(dependencies, job) == Ack()
    assert shown(harness, job) == PAGES
    assert list(shown(harness, job)) == list(PAGES)


def test_a_job_of_many_legs_has_one_attempt(harness: WorkerHarness) -> None:
    told = []

    def tell(value: Number, ctx: Context) -> Number | Continue:
        told.append((ctx.attempt, ctx.max_attempts))
        row = harness.row(job)
        assert (row.counted_attempt, row.counted_max_attempts) == told[-1]
        return page_by_page(value, ctx)

    job = harness.submit(max_attempts=2)
    row = play(harness, tell, job)
    assert told == [(1, 2)] * LEGS
    assert (row.attempt, row.max_attempts, row.legs) == (3, 4, Legs(2, last=2, kept=2, artifacts=2))
    assert (row.counted_attempt, row.counted_max_attempts) == (1, 2)


def test_between_two_legs_the_attempt_is_the_one_that_goes_on(harness: WorkerHarness) -> None:
    seen = []

    def fails_first(value: Number, ctx: Context) -> Number | Continue:
        if ctx.attempt == 1:
            raise ValueError
        return page_by_page(value, ctx)

    job = harness.submit()
    dependencies = harness.dependencies(fails_first)
    while harness.run(dependencies, job) == Redeliver(0):
        row = harness.row(job)
        seen.append((row.status, row.counted_attempt, row.counted_max_attempts))
    assert seen == [(Status.QUEUED, 1, 3), (Status.QUEUED, 2, 3), (Status.QUEUED, 2, 3)]


def test_an_attempt_that_fails_after_a_leg_loses_its_own_artifacts_alone(harness: WorkerHarness) -> None:
    failures = iter([True, False, True, False, False])

    def now_and_then(value: Number, ctx: Context) -> Number | Continue:
        if next(failures):
            write(ctx, "draft", "half")
            raise ValueError
        return page_by_page(value, ctx)

    job = harness.submit()
    row = play(harness, now_and_then, job)
    assert (row.status, row.attempt, row.counted_attempt) == (Status.SUCCEEDED, 5, 3)
    assert shown(harness, job) == PAGES
    assert len(harness.stored(job)) == LEGS


def test_the_last_of_the_attempts_is_named_by_its_number(harness: WorkerHarness) -> None:
    def fail_in_the_second_leg(_: Number, ctx: Context) -> Number | Continue:
        if ctx.checkpoint is None:
            return Continue(1)
        raise ValueError

    job = harness.submit(max_attempts=2)
    row = play(harness, fail_in_the_second_leg, job)
    assert row.error is not None
    assert row.error.detail == "the handler raised ValueError in attempt 2 of 2"
    assert shown(harness, job) == {}


def test_a_leg_replaces_an_artifact_of_an_earlier_one_by_its_name(harness: WorkerHarness) -> None:
    def with_summary(value: Number, ctx: Context) -> Number | Continue:
        write(ctx, "summary", f"up to page {ctx.checkpoint or 1}")
        with pytest.raises(ValueError, match="this leg already made an artifact named 'summary'"):
            write(ctx, "summary", "again")
        return page_by_page(value, ctx)

    job = harness.submit()
    row = play(harness, with_summary, job)
    assert row.status is Status.SUCCEEDED
    assert shown(harness, job) == PAGES | {"summary": f"up to page {LEGS}"}


@pytest.mark.parametrize("writing", [{1}, {2}, {3}, {1, 3}, set()], ids=str)
def test_legs_that_make_none_lose_none(harness: WorkerHarness, writing: set[int]) -> None:
    def some(_: Number, ctx: Context) -> Number | Continue:
        page = ctx.checkpoint or 1
        if page in writing:
            write(ctx, f"page-{page}", f"text of page {page}")
        return Number(n=page) if page == LEGS else Continue(page + 1)

    job = harness.submit()
    play(harness, some, job)
    assert shown(harness, job) == {f"page-{page}": PAGES[f"page-{page}"] for page in writing}


def test_a_job_makes_so_many_artifacts_in_all_its_legs(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_context, "MAX_ARTIFACTS", 3)

    def one_too_many(_: Number, ctx: Context) -> Number | Continue:
        if ctx.checkpoint is None:
            write(ctx, "a", "1")
            write(ctx, "b", "1")
            return Continue(1)
        write(ctx, "b", "2")
        with pytest.raises(ValueError, match="a job makes at most 3 artifacts, in all its legs"):
            write(ctx, "c", "2")
        return Number()

    job = harness.submit()
    play(harness, one_too_many, job)
    assert shown(harness, job) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("operation", ["UpdateItem", "PutItem", "PutObject"])
def test_a_reply_that_is_lost_loses_nothing(harness: WorkerHarness, operation: str) -> None:
    job = harness.submit()
    dependencies = harness.dependencies(page_by_page, FaultyTransport(harness.transport, Fault(repeat, on(operation))))
    while harness.run(dependencies, job) == Redeliver(0):
        pass
    assert shown(harness, job) == PAGES


def test_a_leg_whose_end_was_not_heard_of_keeps_its_artifacts_when_the_next_has_begun(harness: WorkerHarness) -> None:
    """The write is repeated, and refused: the next leg holds the row. What the first made is that leg's now."""
    ended: list[Job] = []

    def the_next_runs() -> None:
        ended.append(play(harness, page_by_page, job))

    job = harness.submit()
    late = FaultyTransport(harness.transport, Fault(repeat_after(the_next_runs), on("UpdateItem"), skip=1, times=1))
    assert harness.run(harness.dependencies(page_by_page, late), job) == Ack()
    assert [row.status for row in ended] == [Status.SUCCEEDED]
    assert shown(harness, job) == PAGES


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("leg", [1, 2])
def test_a_worker_that_dies_at_any_call_of_a_leg_loses_nothing(harness: WorkerHarness, leg: int, after: bool) -> None:  # noqa: FBT001
    for at in _calls_of_a_leg(harness, leg, after=after):
        assert at < 9


def _calls_of_a_leg(harness: WorkerHarness, leg: int, *, after: bool) -> Iterator[int]:
    at, died = 0, True
    while died:
        harness.clock.ahead = 0
        job = harness.submit(max_attempts=3)
        for _ in range(leg - 1):
            harness.run(harness.dependencies(page_by_page), job)
        crashing = crash_at(harness.transport, at, after=after)
        with contextlib.suppress(ProcessDied):
            harness.run(harness.dependencies(page_by_page, crashing), job)
        died = crashing.died
        while not harness.row(job).done:
            harness.clock.ahead += 2 * MINUTE
            harness.sweep(harness.dependencies(page_by_page))
            play(harness, page_by_page, job)
        row = harness.row(job)
        assert (row.status, shown(harness, job)) == (Status.SUCCEEDED, PAGES), f"died at call {at}"
        assert len(harness.stored(job)) == LEGS
        yield at
        at += 1
    assert at > 4, "claim, artifact, list of artifacts, continue"


@pytest.mark.parametrize("deleted", [False, True], ids=["expired", "deleted"])
@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED])
def test_what_all_legs_left_goes_with_the_job(harness: WorkerHarness, end: Status, deleted: bool) -> None:  # noqa: FBT001
    def ends(value: Number, ctx: Context) -> Number | Continue:
        if ctx.checkpoint == LEGS and end is Status.FAILED:
            raise Reject("no")
        return page_by_page(value, ctx)

    job = harness.submit(retention=100 * SECOND)
    row = play(harness, ends, job)
    assert (row.status, bool(shown(harness, job))) == (end, end is Status.SUCCEEDED)
    assert len(harness.stored(job)) >= LEGS - 1
    if deleted:
        harness.transport.send(job_updates.purge_job(harness.settings.table, row, now=harness.clock()))
    harness.clock.ahead = 2 * HOUR
    harness.sweep(harness.dependencies(page_by_page))
    assert harness.stored(job) == []
    assert harness.transport.send(job_items.artifact_list_keys(harness.settings.table, row)) == []


def test_a_last_leg_of_an_older_worker_hides_nothing(harness: WorkerHarness) -> None:
    """It lists what it made itself, and leaves what it does not know of in the row."""
    job = harness.submit()
    for _ in range(LEGS - 1):
        harness.run(harness.dependencies(page_by_page), job)
    table, send = harness.settings.table, harness.transport.send
    claim = transitions.claim(table, JobKey(job.tenant, job.id), now=harness.clock(), lease=MINUTE, owner="older")
    held = send(claim)
    assert isinstance(held, Job)
    body = PAGES["page-3"].encode()
    blob, key = blob_of(body, "text/plain", "page-3"), s3_keys.artifact_key(held, "page-3")
    send(s3.put(harness.settings.bucket, key, body, content_type="text/plain", sha256=blob.sha256))
    send(job_items.put_artifacts(table, held, [blob]))
    send(transitions.settle(table, held, SUCCEED, now=harness.clock(), result=blob_of(b"", "x/y"), artifact_count=1))
    assert shown(harness, job) == PAGES
