"""What stands before something is killed: each makes it for a tenant, and answers which job is to be watched."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from coatcheck import blobs, errors
from coatcheck.clock import HOUR, MINUTE, SECOND
from coatcheck.deployment import WEBHOOKS
from coatcheck.ids import job_id_for_key
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.record import Event, Job, JobError
from coatcheck.table import items, moves
from coatcheck.table.history import put_history_page
from coatcheck.table.keys import JobKey
from coatcheck.table.webhooks import begin_try, update_delivery
from coatcheck.webhooks import TRY_LEASE
from tests.kill.ground import Ground, blob
from tests.kill.work import MANY, Deed, body
from worker.tools import Tools, system_clock
from worker.webhooks.announce import announce

KEY = "the-one-key"
"""The Idempotency-Key of every request."""

Begin = Callable[[Ground, str, str], JobKey]
"""Given the ground, the tenant and the queue of the process that is to die."""

HELD = 45 * SECOND
"""How long a worker holds a job that a client cancels: its lease does not run out before the client came again."""


def nothing(_: Ground, tenant: str, __: str) -> JobKey:
    """The job will be made by the request."""
    return JobKey(tenant, job_id_for_key(tenant, KEY))


def queued(do: str, *, fails: int = 0, message: bool = True, **changes: int) -> Begin:
    """A job that waits to `do` something; with its message, or without. `changes` are fields of its row."""

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        job = ground.put(tenant, Deed(do=do, fails=fails), **changes)
        if message:
            ground.send(queue, job)
        return _key(job)

    return begin


def tried(do: str, *, fails: int = 0, message: bool = True) -> Begin:
    """As `queued`, after five attempts that failed: the next event fills the history of its row."""

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        now = system_clock()
        tries = [Event(kind, now) for _ in range(5) for kind in ("job.started", "job.retrying")]
        history = (Event("job.queued", now), *tries)
        job = ground.put(tenant, Deed(do=do, fails=fails), attempt=5, started_at=now, history=history)
        if message:
            ground.send(queue, job)
        return _key(job)

    return begin


def scheduled(*, message: bool = True) -> Begin:
    """A job whose time has come."""

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        now = system_clock()
        past = {"run_at": now - SECOND, "start_at": now - SECOND, "due_at": 1}
        history = (Event("job.scheduled", now),)
        job = ground.put(tenant, Deed(do="few"), status=Status.SCHEDULED, history=history, **past)
        if message:
            ground.send(queue, job)
        return _key(job)

    return begin


def lost(before: Begin | None = None, *, message: bool = False) -> Begin:
    """A job whose worker died long enough ago for its lease to have run out."""
    before = before or queued("few", message=message)

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        key = before(ground, tenant, queue)
        ground.claim(_row(ground, key), ago=10 * MINUTE, lease=10 * MINUTE - SECOND)
        return key

    return begin


def held(ground: Ground, tenant: str, _: str) -> JobKey:
    """A job that runs; its worker dies before it hears of anything."""
    job = ground.put(tenant, Deed(do="few"))
    return _key(ground.claim(job, ago=0, lease=HELD))


def canceling(ground: Ground, tenant: str, queue: str) -> JobKey:
    """A job that was canceled while it ran, of a worker that is lost."""
    key = lost()(ground, tenant, queue)
    ground.aws.send(moves.request_cancel(ground.deployment.table, _row(ground, key), now=system_clock()))
    return key


def waiting(ground: Ground, tenant: str, _: str) -> JobKey:
    """A job that is to start in an hour."""
    at = system_clock() + HOUR
    return _key(ground.put(tenant, Deed(do="few"), status=Status.SCHEDULED, run_at=at, start_at=at, due_at=at))


def told(before: Begin) -> Begin:
    """As `before`, of a tenant that is told of every end."""

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        ground.subscribe(tenant)
        return before(ground, tenant, queue)

    return begin


def untold(*, message: bool = True) -> Begin:
    """A job that has failed, of which nobody was told yet."""

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        job = _failed(ground, tenant, **({} if message else {"due_at": 1}))
        if message:
            ground.send(queue, job)
        return _key(job)

    return told(begin)


def undelivered(*, message: bool = True, lost: bool = False) -> Begin:
    """A job that has failed, with a delivery that nobody has tried; or who tried is `lost`."""

    def begin(ground: Ground, tenant: str, queue: str) -> JobKey:
        job = _failed(ground, tenant)
        announce(_announcer(ground, queue if message else ground.new_queue()), JobMessage(tenant=tenant, job=job.id))
        (delivery,) = ground.deliveries(job)
        table = ground.deployment.table
        if lost:
            ground.aws.send(begin_try(table, delivery, now=system_clock() - TRY_LEASE - SECOND))
        elif not message:
            ground.aws.send(update_delivery(table, replace(delivery, due_at=1)))
        return _key(job)

    return told(begin)


def _announcer(ground: Ground, queue: str) -> Tools:
    queues = {**ground.deployment.queues, WEBHOOKS: queue}
    deployment = ground.deployment.model_copy(update={"queues": queues})
    return Tools(ground.aws, deployment, {}, system_clock, random.random)


def _failed(ground: Ground, tenant: str, **changes: object) -> Job:
    now = system_clock()
    ended: dict[str, object] = {
        "status": Status.FAILED,
        "attempt": 1,
        "started_at": now,
        "finished_at": now,
        "expires_at": now + HOUR,
        "error": JobError(errors.HANDLER_ERROR.code, "as it was asked to"),
        "history": tuple(Event(kind, now) for kind in ("job.queued", "job.started", "job.failed")),
    }
    return ground.put(tenant, Deed(do="few"), **(ended | changes))


def finished(ground: Ground, tenant: str, _: str) -> JobKey:
    """A job that has succeeded, with something of everything that is kept of a job."""
    job = _succeeded(ground, tenant, id_of=None)
    ground.aws.send(put_history_page(ground.deployment.table, job))
    ground.aws.send(items.put_artifacts(ground.deployment.table, job, [blob(b"made", inline=False, filename="a")]))
    ground.store(blobs.result_key(job), body(job.id, MANY))
    ground.store(blobs.artifact_key(job, "a"), b"made")
    return _key(job)


def original(key: JobKey) -> JobKey:
    """The job that the job `key` is a replay of."""
    return JobKey(key.tenant, job_id_for_key(key.tenant, "the original"))


def finished_before(ground: Ground, tenant: str, _: str) -> JobKey:
    """A job that has succeeded, and is to be replayed: it is the replay that is watched."""
    key = nothing(ground, tenant, "")
    _succeeded(ground, tenant, id_of=original(key))
    return key


def _succeeded(ground: Ground, tenant: str, *, id_of: JobKey | None) -> Job:
    now = system_clock()
    ended: dict[str, object] = {
        "status": Status.SUCCEEDED,
        "attempt": 1,
        "started_at": now,
        "finished_at": now,
        "expires_at": now + HOUR,
        "due_at": None,
        "artifact_count": 1 if id_of is None else 0,
        "result": blob(body("anything", MANY), inline=False),
        "history": tuple(Event(kind, now) for kind in ("job.queued", "job.started", "job.succeeded")),
    }
    if id_of is not None:
        ended["id"] = id_of.id
    return ground.put(tenant, Deed(do="few", padding=body("an input", 10_000).hex()), **ended)


def _row(ground: Ground, key: JobKey) -> Job:
    job = ground.row(key)
    assert job is not None
    return job


def _key(job: Job) -> JobKey:
    return JobKey(job.tenant, job.id)
