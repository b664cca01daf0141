"""How large a row gets: what waits or runs is to stay under 1 KB, whatever its input."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.item_size import (
    GROWTH_BYTES,
    HOT_ROW_BYTES,
    MAX_RESULT_IN_ROW,
    free_bytes_for_checkpoint,
    item_size,
    with_room_to_grow,
)
from coatcheck.core.job import JSON, Blob, Job, JobEvent, Progress
from coatcheck.core.lifecycle import Status
from coatcheck.core.priority import Priority
from coatcheck.core.tallies import Tally
from tests.job_rows import NOW, make_job

QUEUED, STARTED, ENDED = (JobEvent(f"job.{name}", NOW) for name in ("queued", "started", "succeeded"))


def waiting(text: bytes, **changes: object) -> Job:
    """A job that waits and holds its input."""
    job = make_job(
        tenant="acme-corporation",
        id="job_" + "q" * 26,
        type="image.thumbnails",
        timeout=300_000,
        retention=604_800_000,
        input=Blob.of(text, JSON),
        due_at=NOW,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def running(job: Job) -> Job:
    """The job once a worker has it, and has told how far it is."""
    return replace(
        job,
        status=Status.RUNNING,
        version=1000,
        attempt=1,
        started_at=NOW,
        started_version=1,
        claimed_at=NOW,
        lease_until=NOW,
        owner="o" * 12,
        progress=Progress(0.5, "image 1,234 of 2,468"),
        history=(QUEUED, STARTED),
    )


def ended(job: Job, result: Blob) -> Job:
    """The job when all went well."""
    final = running(job)
    return replace(
        final,
        status=Status.SUCCEEDED,
        finished_at=NOW,
        expires_at=NOW,
        lease_until=None,
        owner=None,
        due_at=None,
        progress=Progress(1.0),
        result=result,
        history=(QUEUED, STARTED, ENDED),
    )


def noise(size: int) -> bytes:
    """Bytes that do not deflate."""
    return random.Random(size).randbytes(size)


@given(size=st.integers(0, 2000), metadata=st.dictionaries(st.text(max_size=20), st.text(max_size=80), max_size=8))
def test_a_row_that_waits_or_runs_is_under_1_kb_whatever_its_input(size: int, metadata: dict[str, str]) -> None:
    holding = waiting(noise(size), metadata=metadata)
    job = with_room_to_grow(holding)
    if job.input.inline is None:
        assert job == replace(holding, input=replace(holding.input, inline=None))
    else:
        assert job == holding
        assert item_size(encode_job(running(job))) <= HOT_ROW_BYTES


NAME = st.integers(1, 64).map("x".__mul__)


@given(
    size=st.integers(0, 700),
    names=st.fixed_dictionaries(dict.fromkeys(("tenant", "id", "type", "lane"), NAME)),
    more=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("run_at", "start_at", "queue_deadline", "due_at"), st.integers(0, 10**13 - 1)),
            **dict.fromkeys(("timeout", "retention", "max_attempts"), st.integers(1, 10**13 - 1)),
            "meant": st.just(b"m" * 16),
            "counted": st.just(tuple(Tally)),
            "priority": st.sampled_from(Priority),
            "replayed_from": st.just("job_" + "q" * 26),
            "status": st.just(Status.SCHEDULED),
            "history": st.just((JobEvent("job.scheduled", NOW),)),
        },
    ),
)
def test_an_input_is_in_the_row_of_a_new_job_only_if_there_is_room_to_grow(
    size: int, names: dict[str, str], more: dict[str, object]
) -> None:
    holding = waiting(noise(size), **names | more)
    room = HOT_ROW_BYTES - GROWTH_BYTES
    assert (with_room_to_grow(holding).input.inline is not None) is (item_size(encode_job(holding)) <= room)


@pytest.mark.parametrize("size", [0, 1, 400])
def test_an_input_of_a_few_hundred_bytes_is_in_the_row(size: int) -> None:
    assert with_room_to_grow(waiting(noise(size))).input.inline == noise(size)


def test_a_long_input_that_deflates_is_in_the_row_and_a_very_long_one_is_not_even_deflated() -> None:
    for size, within in ((10_000, True), (10_000_000, False)):
        text = b'"' + b"a" * size + b'"'
        assert (with_room_to_grow(waiting(text)).input.inline is not None) is within


def test_records_of_1_kb_in_and_out_leave_the_row_under_1_kb() -> None:
    row = '{"id":%d,"customer":"customer-%d","amount":%d.5,"at":"2026-11-26T12:%02d:00Z"}'
    records = "[" + ",".join(row % (n, n * 7, n * 13, n) for n in range(14)) + "]"
    text = records.encode()
    assert 1000 <= len(text) <= 1100
    job = with_room_to_grow(waiting(text))
    assert job.input.inline is not None
    assert item_size(encode_job(ended(job, Blob.of(text, JSON)))) <= 1024


def test_a_row_that_has_ended_is_one_read_unit_with_the_largest_result_that_goes_into_it() -> None:
    text = noise(400)
    job = with_room_to_grow(waiting(text))
    assert (
        item_size(encode_job(ended(job, Blob.of(noise(MAX_RESULT_IN_ROW - 1), "application/x-noise", "n" * 100))))
        < 4096
    )


@given(st.integers(0, 1000))
def test_a_checkpoint_that_is_in_the_row_leaves_it_under_1_kb(size: int) -> None:
    job = running(with_room_to_grow(waiting(b"{}")))
    if size + 1 <= free_bytes_for_checkpoint(job):
        assert item_size(encode_job(replace(job, checkpoint=Blob.of(noise(size), JSON)))) <= HOT_ROW_BYTES


def test_the_checkpoint_before_takes_no_room_from_the_next() -> None:
    job = running(waiting(b"{}"))
    assert (
        free_bytes_for_checkpoint(replace(job, checkpoint=Blob.of(noise(200), JSON)))
        == free_bytes_for_checkpoint(job)
        > 100
    )
