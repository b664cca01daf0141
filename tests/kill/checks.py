"""What must be true of a job, whatever was killed while it was made, run or ended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from coatcheck import blobs
from coatcheck.invariants import broken_invariants
from coatcheck.lifecycle import FINAL, Status
from coatcheck.record import Blob, Event, Job
from coatcheck.table import items
from coatcheck.table.history import earlier_events
from coatcheck.webhooks import event_id
from tests.kill.flows import Flow
from tests.kill.ground import Ground
from tests.kill.scene import Scene
from tests.kill.work import body

FINAL_EVENTS = frozenset(f"job.{status}" for status in FINAL)


def flaws(ground: Ground, scene: Scene, job: Job) -> Iterator[str]:
    """What is wrong in the end, in words."""
    listed = ground.aws.send(items.list_jobs(ground.deployment.table, scene.tenant, limit=10)).entries
    if len(listed) != scene.flow.jobs:
        yield f"the tenant has {len(listed)} jobs, not {scene.flow.jobs}"
    yield from _left_of_purged(ground, job) if scene.flow.purged else _wrong_with(ground, scene.flow, job, scene)


def _wrong_with(ground: Ground, flow: Flow, job: Job, scene: Scene) -> Iterator[str]:
    end = (job.status, job.error.code if job.error else None)
    allowed = flow.ends if scene.point else flow.ends[:1]
    yield from broken_invariants(job)
    if end not in allowed:
        yield f"ended {end}, not {' or '.join(map(str, allowed))}"
    if job.lease_until is not None or (job.due_at is not None and job.due_at <= (job.expires_at or 0)):
        yield f"has ended, and is held until {job.lease_until} and due at {job.due_at}"
    yield from _wrong_in_history(job, history(ground, job))
    if flow.told:
        yield from _wrong_deliveries(ground, job)
    if job.status is Status.SUCCEEDED:
        yield from _wrong_bytes(ground, job)
    elif job.result is not None:
        yield f"is {job.status} and has a result"


def history(ground: Ground, job: Job) -> Sequence[Event]:
    """All events of a job, the first one first."""
    earlier = ground.aws.send(earlier_events(ground.deployment.table, job)) if job.history_from > 1 else ()
    return [*earlier, *job.history]


def _wrong_in_history(job: Job, events: Sequence[Event]) -> Iterator[str]:
    kinds = [event.type for event in events]
    if len(events) != job.history_from - 1 + len(job.history):
        yield f"its history has gaps or doubles: {kinds}"
    if [kind for kind in kinds if kind in FINAL_EVENTS] != [f"job.{job.status}"] or kinds[-1] not in FINAL_EVENTS:
        yield f"its history does not end once, as {job.status}: {kinds}"
    if kinds.count("job.started") != job.attempt:
        yield f"its history does not tell of {job.attempt} attempts: {kinds}"


def _wrong_deliveries(ground: Ground, job: Job) -> Iterator[str]:
    """An event is made once, and arrives at least once: each time with the same id and the same body."""
    made = ground.deliveries(job)
    named = event_id(job, f"job.{job.status}")
    if [one.event_id for one in made] != [named]:
        yield f"its deliveries are of {[one.event for one in made]}"
        return
    (delivery,) = made
    arrived = {digest for event, digest in ground.arrived() if event == named}
    if arrived != {hashlib.sha256(delivery.body).hexdigest()}:
        yield f"its event arrived with {len(arrived)} bodies"
    if delivery.tries != len(delivery.attempts):
        yield f"its event was tried {delivery.tries} times; the ledger tells of {delivery.attempts}"


def _wrong_bytes(ground: Ground, job: Job) -> Iterator[str]:
    assert job.result is not None
    made = ground.aws.send(items.get_artifacts(ground.deployment.table, job)) if job.artifact_count else ()
    if len(made) != job.artifact_count:
        yield f"has {job.artifact_count} artifacts, of which {len(made)} are listed"
    for blob, key in [
        (job.result, blobs.result_key(job)),
        *((b, blobs.artifact_key(job, b.filename or "")) for b in made),
    ]:
        content = _fetched(ground, blob, key)
        if content is None or (len(content), hashlib.sha256(content).digest()) != (blob.size, blob.sha256):
            yield f"{key} is not whole"
        elif content != body(job.id, blob.size):
            yield f"{key} is of another job"


def _fetched(ground: Ground, blob: Blob, key: str) -> bytes | None:
    if blob.inline is not None:
        return blob.inline
    stream = ground.aws.send(blobs.get(ground.deployment.bucket, key))
    if stream is None:
        return None
    with stream:
        return bytes(stream.read())


def _left_of_purged(ground: Ground, job: Job) -> Iterator[str]:
    if beside := ground.aws.send(items.items_beside(ground.deployment.table, job)):
        yield f"was purged; left are {beside}"
    for prefix in blobs.job_prefixes(job.tenant, job.id):
        if found := ground.aws.send(blobs.keys_under(ground.deployment.bucket, prefix)):
            yield f"was purged; left are {found}"
