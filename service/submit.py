"""Handing in a job: what it must be, and the writes that make it, in the order that survives a crash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from coatcheck import due, queues
from coatcheck.clock import milliseconds
from coatcheck.errors import Flaw, IdempotencyKeyReused, InvalidRequest
from coatcheck.ids import job_id_for_key, make_id
from coatcheck.lifecycle import SUBMIT, SUBMIT_FOR_LATER
from coatcheck.messages import JobMessage
from coatcheck.record import JSON, Blob, Event, Job
from coatcheck.table import items
from coatcheck.table.keys import JobKey, ShardKind, due_shard
from coatcheck.table.room import with_input
from coatcheck.types import JobType
from coatcheck.webhooks import in_order
from coatcheck.wire import SECONDS_AHEAD, SubmitRequest
from service import inputs, sameness
from service.caller import Caller
from service.flaws import refused
from service.targets import flaws_in
from service.tools import Tools
from service.waking import wake
from service.webhooks import wanted_events

LONGEST_BASE_URL = 1000
"""Characters of a base URL that links in webhooks can begin with: their bodies are to stay small."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks for: a job of its own, or `replayed_from` another. `size`: bytes of JSON that it came as."""

    asked: SubmitRequest
    idempotency_key: str | None = None
    replayed_from: str | None = None
    size: int = 0

    def digest(self) -> bytes:
        """The digest of what it says."""
        return sameness.digest({"replay": self.replayed_from} if self.replayed_from else sameness.said(self.asked))


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of a submit; `replayed`: an earlier submit under the same idempotency key made it."""

    job: Job
    replayed: bool = False


async def submit(caller: Caller, order: Order) -> Submitted:
    """Make the job that is asked for, unless its idempotency key has made it before.

    The row goes before the message: a job without a message is found by the sweeper, a message without a job
    would be nothing. Raises InvalidRequest and IdempotencyKeyReused.
    """
    tools = caller.tools
    now = tools.clock()
    said = await tools.offload.run(caller.tenant, order.size, order.digest)
    try:
        job = await _accepted(caller, order, said, now)
    except InvalidRequest:
        # what was right when the key was first used (an upload that was there) may be wrong by now
        standing = await _made_before(caller, order.idempotency_key)
        if standing is None:
            raise
        return _replayed(standing, said)
    standing = await tools.aws.send(items.put_job(tools.table, job, now=now))
    if standing is None or _is_own(standing, job):
        await _dispatch(tools, job, now)
        return Submitted(job)
    return _replayed(standing, said, job.meant)


async def _accepted(caller: Caller, order: Order, said: bytes, now: int) -> Job:
    """The job to be written, when all that is asked for can be had; a large input lies in the bucket by then."""
    tools = caller.tools
    job_type = _job_type(tools, order.asked)
    if found := list(_flaws(caller, order.asked, job_type, now)):
        raise refused(found)
    wanted = await tools.offload.run(caller.tenant, order.size, partial(_wanted, order, job_type, said))
    job = await _with_webhooks(caller, order.asked, _new_job(caller, order, job_type, wanted, now))
    job = with_input(job, wanted.given.text)
    await inputs.check_uploads(tools, caller.tenant, wanted.given.uploads, needed_at=job.start_at or now)
    await inputs.store(tools, job, wanted.given.text)
    return job


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is worked out of a submit: its input, and the digests of what it says and of what it means."""

    given: inputs.Checked
    blob: Blob
    said: bytes
    meant: bytes | None


def _wanted(order: Order, job_type: JobType[Any, Any], said: bytes) -> _Wanted:
    """Raises InvalidRequest when the input is none of this type's. Sends nothing, and may take long."""
    given = inputs.checked(job_type, order.asked.input)
    meant = _short(said if order.replayed_from else sameness.digest(sameness.meant(order.asked, given.meant)))
    blob = Blob(len(given.text), hashlib.sha256(given.text).digest(), JSON)
    return _Wanted(given, blob, said, None if meant == _short(said) else meant)


def _short(digest: bytes) -> bytes:
    return digest[: sameness.SHORT]


async def _made_before(caller: Caller, idempotency_key: str | None) -> Job | None:
    if idempotency_key is None:
        return None
    key = JobKey(caller.tenant, job_id_for_key(caller.tenant, idempotency_key))
    job = await caller.tools.aws.send(items.get_job(caller.tools.table, key))
    return None if job is None or job.gone(caller.tools.clock()) else job


def _replayed(standing: Job, said: bytes, meant: bytes | None = None) -> Submitted:
    if standing.digest != said and (standing.meant or _short(standing.digest)) != (meant or _short(said)):
        raise IdempotencyKeyReused(f"The key was used before, for {standing.id}, with another request.")
    return Submitted(standing, replayed=True)


def _job_type(tools: Tools, asked: SubmitRequest) -> JobType[Any, Any]:
    job_type = tools.catalog.get(asked.type)
    if job_type is None:
        raise refused([Flaw("/type", "is no job type of this deployment: see /v1/job-types")])
    return job_type


def _flaws(caller: Caller, asked: SubmitRequest, job_type: JobType[Any, Any], now: int) -> Iterator[Flaw]:
    """What a model alone cannot tell."""
    if asked.run_at is not None and asked.delay is not None:
        yield Flaw("/delay", "cannot be given together with run_at")
    if asked.run_at is not None and asked.run_at > now + milliseconds(SECONDS_AHEAD):
        yield Flaw("/run_at", "is more than 366 days ahead")
    if asked.timeout is not None and asked.timeout > job_type.timeout:
        yield Flaw("/timeout", f"is more than the {job_type.timeout:g} seconds that {job_type.name} allows")
    if asked.max_attempts is not None and asked.max_attempts > job_type.max_attempts:
        yield Flaw("/max_attempts", f"is more than the {job_type.max_attempts} that {job_type.name} allows")
    most = caller.tools.deployment.max_retention
    if asked.retention is not None and asked.retention > most:
        yield Flaw("/retention", f"is more than the {most} seconds that this deployment allows")
    if asked.webhook is not None:
        yield from flaws_in(caller, asked.webhook.url, "/webhook/url")


def _new_job(caller: Caller, order: Order, job_type: JobType[Any, Any], wanted: _Wanted, now: int) -> Job:
    tools, asked, key = caller.tools, order.asked, order.idempotency_key
    run_at = asked.run_at if asked.delay is None else now + milliseconds(asked.delay)
    start_at = run_at if run_at is not None and run_at > now else None
    deadline = None if asked.queue_ttl is None else (start_at or now) + milliseconds(asked.queue_ttl)
    move = SUBMIT if start_at is None else SUBMIT_FOR_LATER
    assert move.target is not None
    assert move.event is not None
    retention = asked.retention or min(tools.deployment.default_retention, tools.deployment.max_retention)
    job_id = job_id_for_key(caller.tenant, key) if key else make_id("job", tools.entropy(16))
    return Job(
        tenant=caller.tenant,
        id=job_id,
        type=job_type.name,
        lane=job_type.lane,
        status=move.target,
        version=1,
        created_at=now,
        updated_at=now,
        attempt=0,
        max_attempts=asked.max_attempts or job_type.max_attempts,
        timeout=milliseconds(asked.timeout or job_type.timeout),
        retention=milliseconds(retention),
        digest=wanted.said,
        meant=wanted.meant,
        input=wanted.blob,
        due_shard=due_shard(ShardKind.DUE, job_id, tools.deployment.due_shards),
        due_at=due.for_dispatch(now=now, start_at=start_at, queue_deadline=deadline, dispatches=0),
        run_at=run_at,
        start_at=start_at,
        queue_deadline=deadline,
        metadata=asked.metadata,
        replayed_from=order.replayed_from,
        history=(Event(move.event, now),),
    )


async def _with_webhooks(caller: Caller, asked: SubmitRequest, job: Job) -> Job:
    """The job with whom it is to tell of what. Raises InvalidRequest for a Host that no link can begin with."""
    brought = asked.webhook
    own = in_order(brought.events) if brought else ()
    notify = in_order([*own, *await wanted_events(caller, job.created_at)])
    if not notify:
        return job
    if len(caller.base_url) > LONGEST_BASE_URL:
        raise InvalidRequest("The Host header is too long for the links in webhooks.")
    webhook = {"url": brought.url, "events": list(own)} if brought else None
    return replace(job, webhook=webhook, notify=notify, base_url=caller.base_url)


def _is_own(standing: Job, job: Job) -> bool:
    """Whether the row is the one we just wrote: the reply was lost, and the SDK wrote again."""
    return (standing.created_at, standing.version, standing.digest) == (job.created_at, 1, job.digest)


async def _dispatch(tools: Tools, job: Job, now: int) -> None:
    """Wake a worker."""
    delay = due.message_delay(now=now, start_at=job.start_at)
    if delay is not None:
        message = JobMessage(tenant=job.tenant, job=job.id)
        await wake(tools, queues.send_job(tools.deployment.queues[job.lane], message, delay=delay), job.id)
