"""What stands before something is killed: each makes it for a tenant, and answers which job is to be watched."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from coatcheck.core import errors
from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.history import put_history_page
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.webhook_items import begin_attempt, update_delivery
from coatcheck.core.clock import HOUR, MINUTE, SECOND, system_clock
from coatcheck.core.ids import job_id_for_key
from coatcheck.core.job import Job, JobError, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import ATTEMPT_LEASE
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from tests.kill.emulator import Emulator, blob
from tests.kill.job_type import MANY, KillInput, body

KEY = "the-one-key"
"""The Idempotency-Key of every request."""

Precondition = Callable[[Emulator, str, str], JobKey]
"""Given the ground, the tenant and the queue of the process that is to die."""

HELD = 45 * SECOND
"""How long a worker holds a job that a client cancels: its lease does not run out before the client came again."""


def no_job(_: Emulator, tenant: str, __: str) -> JobKey:
    """The job will be made by the request."""
    return JobKey(tenant, job_id_for_key(tenant, KEY))


def queued(do: str, *, fails: int = 0, message: bool = True, **changes: int) -> Precondition:
    """A job that waits to `do` something; with its message, or without. `changes` are fields of its row."""

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        job = emulator.put(tenant, KillInput(do=do, fails=fails), **changes)
        if message:
            emulator.send(queue, job)
        return _key(job)

    return begin


def tried(do: str, *, fails: int = 0, message: bool = True) -> Precondition:
    """As `queued`, after five attempts that failed: the next event fills the history of its row."""

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        now = system_clock()
        tries = [JobEvent(kind, now) for _ in range(5) for kind in ("job.started", "job.retrying")]
        history = (JobEvent("job.queued", now), *tries)
        job = emulator.put(tenant, KillInput(do=do, fails=fails), attempt=5, started_at=now, history=history)
        if message:
            emulator.send(queue, job)
        return _key(job)

    return begin


def scheduled(*, message: bool = True) -> Precondition:
    """A job whose time has come."""

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        now = system_clock()
        past = {"run_at": now - SECOND, "start_at": now - SECOND, "due_at": 1}
        history = (JobEvent("job.scheduled", now),)
        job = emulator.put(tenant, KillInput(do="few"), status=Status.SCHEDULED, history=history, **past)
        if message:
            emulator.send(queue, job)
        return _key(job)

    return begin


def lost(before: Precondition | None = None, *, message: bool = False) -> Precondition:
    """A job whose worker died long enough ago for its lease to have run out."""
    before = before or queued("few", message=message)

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        key = before(emulator, tenant, queue)
        emulator.claim(_row(emulator, key), ago=10 * MINUTE, lease=10 * MINUTE - SECOND)
        return key

    return begin


def held(emulator: Emulator, tenant: str, _: str) -> JobKey:
    """A job that runs; its worker dies before it hears of anything."""
    job = emulator.put(tenant, KillInput(do="few"))
    return _key(emulator.claim(job, ago=0, lease=HELD))


def canceling(emulator: Emulator, tenant: str, queue: str) -> JobKey:
    """A job that was canceled while it ran, of a worker that is lost."""
    key = lost()(emulator, tenant, queue)
    emulator.aws.send(transitions.request_cancel(emulator.settings.table, _row(emulator, key), now=system_clock()))
    return key


def waiting(emulator: Emulator, tenant: str, _: str) -> JobKey:
    """A job that is to start in an hour."""
    at = system_clock() + HOUR
    return _key(emulator.put(tenant, KillInput(do="few"), status=Status.SCHEDULED, run_at=at, start_at=at, due_at=at))


def with_webhook(before: Precondition) -> Precondition:
    """As `before`, of a tenant that is told of every end."""

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        emulator.subscribe(tenant)
        return before(emulator, tenant, queue)

    return begin


def unannounced(*, message: bool = True) -> Precondition:
    """A job that has failed, of which nobody was told yet."""

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        job = _failed(emulator, tenant, **({} if message else {"due_at": 1}))
        if message:
            emulator.send(queue, job)
        return _key(job)

    return with_webhook(begin)


def undelivered(*, message: bool = True, lost: bool = False) -> Precondition:
    """A job that has failed, with a delivery that nobody has tried; or who tried is `lost`."""

    def begin(emulator: Emulator, tenant: str, queue: str) -> JobKey:
        job = _failed(emulator, tenant)
        create_deliveries(
            _announcer(emulator, queue if message else emulator.new_queue()), JobMessage(tenant=tenant, job=job.id)
        )
        (delivery,) = emulator.deliveries(job)
        table = emulator.settings.table
        if lost:
            emulator.aws.send(begin_attempt(table, delivery, now=system_clock() - ATTEMPT_LEASE - SECOND))
        elif not message:
            emulator.aws.send(update_delivery(table, replace(delivery, due_at=1)))
        return _key(job)

    return with_webhook(begin)


def _announcer(emulator: Emulator, queue: str) -> Dependencies:
    queues = {**emulator.settings.queues, WEBHOOKS: queue}
    settings = emulator.settings.model_copy(update={"queues": queues})
    return Dependencies(emulator.aws, settings, system_clock, random.random)


def _failed(emulator: Emulator, tenant: str, **changes: object) -> Job:
    now = system_clock()
    ended: dict[str, object] = {
        "status": Status.FAILED,
        "attempt": 1,
        "started_at": now,
        "finished_at": now,
        "expires_at": now + HOUR,
        "error": JobError(errors.HANDLER_ERROR.code, "as it was asked to"),
        "history": tuple(JobEvent(kind, now) for kind in ("job.queued", "job.started", "job.failed")),
    }
    return emulator.put(tenant, KillInput(do="few"), **(ended | changes))


def finished(emulator: Emulator, tenant: str, _: str) -> JobKey:
    """A job that has succeeded, with something of everything that is kept of a job."""
    job = _succeeded(emulator, tenant, id_of=None)
    emulator.aws.send(put_history_page(emulator.settings.table, job))
    emulator.aws.send(
        job_items.put_artifacts(emulator.settings.table, job, [blob(b"made", inline=False, filename="a")])
    )
    emulator.store(s3_keys.result_key(job), body(job.id, MANY))
    emulator.store(s3_keys.artifact_key(job, "a"), b"made")
    return _key(job)


def original(key: JobKey) -> JobKey:
    """The job that the job `key` is a replay of."""
    return JobKey(key.tenant, job_id_for_key(key.tenant, "the original"))


def finished_before(emulator: Emulator, tenant: str, _: str) -> JobKey:
    """A job that has succeeded, and is to be replayed: it is the replay that is watched."""
    key = no_job(emulator, tenant, "")
    _succeeded(emulator, tenant, id_of=original(key))
    return key


def _succeeded(emulator: Emulator, tenant: str, *, id_of: JobKey | None) -> Job:
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
        "history": tuple(JobEvent(kind, now) for kind in ("job.queued", "job.started", "job.succeeded")),
    }
    if id_of is not None:
        ended["id"] = id_of.id
    return emulator.put(tenant, KillInput(do="few", padding=body("an input", 10_000).hex()), **ended)


def _row(emulator: Emulator, key: JobKey) -> Job:
    job = emulator.row(key)
    assert job is not None
    return job


def _key(job: Job) -> JobKey:
    return JobKey(job.tenant, job.id)
