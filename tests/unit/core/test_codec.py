"""A job survives its row, whatever is in it; and the row of an ordinary job stays under 1 KB."""

from __future__ import annotations

import string
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.aws.dynamodb.codec import decode_job, encode_job
from coatcheck.core.aws.dynamodb.item_size import item_size
from coatcheck.core.job import JSON, Blob, Job, JobError, JobEvent, Legs, Progress
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.priority import Priority
from coatcheck.core.trace import TraceContext

NAMES = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TIMES = st.integers(0, 10**13 - 1)
KINDS = st.just(JSON) | TEXT
BLOBS = st.builds(
    Blob,
    size=st.integers(0, 10**13),
    sha256=st.binary(min_size=32, max_size=32),
    content_type=KINDS,
    filename=st.none() | TEXT,
) | st.builds(Blob.of, st.binary(max_size=50), KINDS, st.none() | TEXT)
ERRORS = st.builds(JobError, code=st.from_regex(r"[a-z-]{1,20}", fullmatch=True), detail=TEXT)
EVENTS = st.builds(
    JobEvent, type=st.from_regex(r"job\.[a-z_]{1,12}", fullmatch=True), at=TIMES, error=st.none() | ERRORS
)
JOBS = st.builds(
    Job,
    tenant=NAMES,
    id=NAMES.map("job_{}".format),
    type=TEXT,
    lane=TEXT,
    status=st.sampled_from(Status),
    **dict.fromkeys(("version", "created_at", "updated_at", "attempt", "max_attempts", "timeout"), TIMES),
    retention=TIMES,
    digest=st.binary(min_size=32, max_size=32),
    input=BLOBS,
    **{
        name: st.none() | TIMES
        for name in ("expires_at", "due_at", "run_at", "start_at", "queue_deadline", "started_at", "claimed_at")
    },
    finished_at=st.none() | TIMES,
    lease_until=st.none() | TIMES,
    owner=st.none() | TEXT,
    progress=st.none() | st.builds(Progress, st.floats(0, 1), st.none() | TEXT),
    error=st.none() | ERRORS,
    result=st.none() | BLOBS,
    artifact_count=TIMES,
    checkpoint=st.none() | BLOBS,
    metadata=st.dictionaries(TEXT, TEXT, max_size=4),
    webhook=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
    notify=st.lists(st.from_regex(r"job\.[a-z_]{1,12}", fullmatch=True), max_size=3).map(tuple),
    base_url=st.none() | TEXT,
    started_version=st.none() | TIMES,
    replayed_from=st.none() | NAMES,
    trace=st.none()
    | st.builds(
        TraceContext,
        st.binary(min_size=16, max_size=16).map(bytes.hex),
        st.binary(min_size=8, max_size=8).map(bytes.hex),
        st.booleans(),
    ),
    dispatches=TIMES,
    history=st.lists(EVENTS, max_size=5).map(tuple),
    history_from=st.integers(1, 1000),
    dead_letter=st.none() | NAMES,
    type_missed_at=st.none() | TIMES,
    meant=st.none() | st.binary(min_size=16, max_size=16),
    legs=st.builds(Legs, TIMES, TIMES, TIMES, TIMES),
    counted=st.lists(st.sampled_from(["waiting", "stored", "later"]), max_size=2).map(tuple),
    priority=st.sampled_from(Priority),
    slot=st.sampled_from(Slot),
    home_shard=st.none() | NAMES,
)


@given(JOBS)
def test_a_job_comes_back_from_its_row_the_same(job: Job) -> None:
    assert decode_job(encode_job(job)) == job


def test_every_field_is_kept() -> None:
    """A field without a codec would be lost without a word."""
    assert set(encode_job(FULL)) >= {f.name for f in fields(Job)} - {"id", "created_at"} | {"listed"}


def test_the_row_of_an_ordinary_job_is_under_1_kb() -> None:
    """A write is billed by the size of the whole item: names, values and their overhead."""
    job = replace(
        FULL, webhook=None, notify=(), base_url=None, metadata={"order": "1234567"}, checkpoint=None, error=None
    )
    assert item_size(encode_job(job)) < 1024


FULL = Job(
    tenant="acme-corporation",
    id="job_" + "q" * 26,
    type="image.thumbnails",
    lane="default",
    status=Status.RUNNING,
    version=17,
    created_at=1_800_000_000_000,
    updated_at=1_800_000_000_000,
    expires_at=1_800_000_000_000,
    attempt=3,
    max_attempts=3,
    timeout=300_000,
    retention=604_800_000,
    digest=b"d" * 32,
    input=Blob.of(b'{"images":[{"$upload":"upl_' + b"x" * 26 + b'"}],"size":256}', JSON),
    due_at=1_800_000_060_000,
    run_at=1_800_000_000_000,
    start_at=1_800_000_000_000,
    queue_deadline=1_800_000_000_000,
    started_at=1_800_000_000_000,
    claimed_at=1_800_000_000_000,
    finished_at=1_800_000_000_000,
    lease_until=1_800_000_060_000,
    owner="Zm9vYmFyYmF6",
    progress=Progress(0.4321, "image 17 of 50"),
    error=JobError("handler-error", "the handler raised ValueError in attempt 3 of 3"),
    result=Blob.of(b'{"slept":45.0}', JSON),
    artifact_count=12,
    checkpoint=Blob.of(b'{"row":120000}', JSON),
    metadata={"order": "1234567"},
    webhook={"url": "https://example.com/hook"},
    notify=("job.succeeded", "job.failed"),
    base_url="https://jobs.example",
    started_version=1,
    replayed_from="job_" + "r" * 26,
    dispatches=1,
    history=tuple(
        JobEvent(f"job.{name}", 1_800_000_000_000) for name in ("queued", "started", "retrying", "succeeded")
    ),
    history_from=13,
    dead_letter="5fea7756-0ea4-451a-a703-a558b933e274",
    type_missed_at=1_800_000_000_000,
    counted=("waiting",),
    legs=Legs(2, last=2, kept=1, artifacts=1),
    meant=b"m" * 16,
    priority=Priority.HIGH,
    slot=Slot.HELD,
    home_shard="due-12",
    trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True),
)
