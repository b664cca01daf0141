"""What must be true of a job, whatever was killed while it was made, run or ended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from coatcheck.core import errors
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.history import earlier_events
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import SECOND
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import Blob, Job, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.webhooks import event_id
from tests.kill.crash_run import CrashRun
from tests.kill.emulator import Emulator
from tests.kill.flows import Flow
from tests.kill.job_type import body

FINAL_EVENTS = frozenset(f"job.{status}" for status in Status.all_final())


def violations(emulator: Emulator, crash_run: CrashRun, job: Job) -> Iterator[str]:
    """What is wrong in the end, in words."""
    listed = emulator.aws.send(job_items.list_jobs(emulator.settings.table, crash_run.tenant, limit=10)).entries
    if len(listed) != crash_run.flow.jobs:
        yield f"the tenant has {len(listed)} jobs, not {crash_run.flow.jobs}"
    yield from (
        _left_of_purged(emulator, job)
        if crash_run.flow.purged
        else _wrong_with(emulator, crash_run.flow, job, crash_run)
    )


def _wrong_with(emulator: Emulator, flow: Flow, job: Job, crash_run: CrashRun) -> Iterator[str]:
    end = (job.status, job.error.code if job.error else None)
    allowed = flow.ends if crash_run.point else flow.ends[:1]
    yield from broken_invariants(job)
    if end not in allowed:
        yield f"ended {end}, not {' or '.join(map(str, allowed))}"
    if job.lease_until is not None or (job.due_at is not None and job.due_at <= (job.expires_at or 0)):
        yield f"has ended, and is held until {job.lease_until} and due at {job.due_at}"
    events = history(emulator, job)
    yield from _wrong_in_history(job, events)
    if crash_run.in_runner:
        yield from _wrong_after_death(events, crash_run, emulator.settings.lease)
    if flow.with_webhook:
        yield from _wrong_deliveries(emulator, job)
    if job.status is Status.SUCCEEDED:
        yield from _wrong_bytes(emulator, job)
    elif job.result is not None:
        yield f"is {job.status} and has a result"


def history(emulator: Emulator, job: Job) -> Sequence[JobEvent]:
    """All events of a job, the first one first."""
    earlier = emulator.aws.send(earlier_events(emulator.settings.table, job)) if job.history_from > 1 else ()
    return [*earlier, *job.history]


def _wrong_in_history(job: Job, events: Sequence[JobEvent]) -> Iterator[str]:
    kinds = [event.type for event in events]
    if len(events) != job.history_from - 1 + len(job.history):
        yield f"its history has gaps or doubles: {kinds}"
    if [kind for kind in kinds if kind in FINAL_EVENTS] != [f"job.{job.status}"] or kinds[-1] not in FINAL_EVENTS:
        yield f"its history does not end once, as {job.status}: {kinds}"
    if kinds.count("job.started") != job.attempt:
        yield f"its history does not tell of {job.attempt} attempts: {kinds}"


def _wrong_after_death(events: Sequence[JobEvent], crash_run: CrashRun, lease: int) -> Iterator[str]:
    """The death of a runner is known at once, and as what it was: nobody waits for a lease."""
    failures = [event for event in events if event.error]
    if [one.error.code for one in failures if one.error] != [errors.HANDLER_CRASHED.code]:
        yield f"its runner was killed, and its history tells of {[one.error for one in failures]}"
    elif went_on_after(failures, crash_run) > lease:
        yield f"its runner was killed, and it went on after {went_on_after(failures, crash_run):.1f} s"


def went_on_after(events: Sequence[JobEvent], crash_run: CrashRun) -> float:
    """The seconds from a runner's death to the event that tells of it."""
    died_at = crash_run.crash_plan.death.stat().st_mtime
    return min((event.at / SECOND - died_at for event in events if event.error), default=0.0)


def _wrong_deliveries(emulator: Emulator, job: Job) -> Iterator[str]:
    """An event is made once, and arrives at least once: each time with the same id and the same body."""
    made = emulator.deliveries(job)
    named = event_id(job, f"job.{job.status}")
    if [one.event_id for one in made] != [named]:
        yield f"its deliveries are of {[one.event for one in made]}"
        return
    (delivery,) = made
    arrived = {digest for event, digest in emulator.arrived() if event == named}
    if arrived != {hashlib.sha256(delivery.body).hexdigest()}:
        yield f"its event arrived with {len(arrived)} bodies"
    if delivery.tries != len(delivery.attempts):
        yield f"its event was tried {delivery.tries} times; the ledger tells of {delivery.attempts}"


def _wrong_bytes(emulator: Emulator, job: Job) -> Iterator[str]:
    assert job.result is not None
    made = run(emulator.aws, all_artifacts(emulator.settings.table, job))
    if len(made) != job.artifact_count:
        yield f"has {job.artifact_count} artifacts, of which {len(made)} are listed"
    for blob, key in [
        (job.result, s3_keys.result_key(job)),
        *((one.blob, s3_keys.artifact_key(job, one.name, one.attempt)) for one in made),
    ]:
        content = _fetched(emulator, blob, key)
        if content is None or (len(content), hashlib.sha256(content).digest()) != (blob.size, blob.sha256):
            yield f"{key} is not whole"
        elif content != body(job.id, blob.size):
            yield f"{key} is of another job"


def _fetched(emulator: Emulator, blob: Blob, key: str) -> bytes | None:
    if blob.inline is not None:
        return blob.inline
    stream = emulator.aws.send(s3.get(emulator.settings.bucket, key))
    if stream is None:
        return None
    with stream:
        return bytes(stream.read())


def _left_of_purged(emulator: Emulator, job: Job) -> Iterator[str]:
    if beside := emulator.aws.send(job_items.list_job_items(emulator.settings.table, job)):
        yield f"was purged; left are {beside}"
    for prefix in s3_keys.job_prefixes(job.tenant, job.id):
        if found := emulator.aws.send(s3.list_keys(emulator.settings.bucket, prefix)):
            yield f"was purged; left are {found}"
