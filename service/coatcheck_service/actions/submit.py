"""Submits a job: checks the request, then makes the writes in an order that survives a crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from coatcheck.authoring.types import JobType
from coatcheck.core import due
from coatcheck.core.api.models import MAX_SECONDS_AHEAD, SubmitRequest
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.item_size import with_room_to_grow
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.enqueue import enqueue_job
from coatcheck.core.aws.flow import run_async
from coatcheck.core.clock import milliseconds
from coatcheck.core.errors import FieldError, IdempotencyKeyReused, InvalidRequest
from coatcheck.core.flows.notify import send_or_log
from coatcheck.core.ids import job_id_for_key, job_id_of_plain_key, make_id
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import SUBMIT, SUBMIT_FOR_LATER
from coatcheck.core.shards import ShardKind, due_shard
from coatcheck.core.suggestions import unknown
from coatcheck.core.tenant_limits import TenantLimits
from coatcheck.core.token_bucket import BucketLevel
from coatcheck.core.webhooks import sorted_events
from coatcheck_service.actions import idempotency, job_inputs
from coatcheck_service.actions.tenant_limits import charge_submit, limits_of, tallies_of, uncharge_submit
from coatcheck_service.actions.webhook_endpoints import subscribed_events
from coatcheck_service.actions.webhook_urls import url_errors
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request

MAX_BASE_URL_LENGTH = 1000
"""Characters of the longest base URL for links in webhooks: their bodies must stay small."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for: a new job, or one `replayed_from` another. `size` is its JSON's length in bytes."""

    request: SubmitRequest
    idempotency_key: str | None = None
    replayed_from: str | None = None
    size: int = 0

    def digest(self) -> bytes:
        """Return the digest of the request as written."""
        return idempotency.digest(
            {"replay": self.replayed_from} if self.replayed_from else idempotency.as_written(self.request)
        )


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The job of a submit. `deduplicated` is true when an earlier submit under the same idempotency key made it.

    `rate` is what is left of the tenant's rate, if it has one and the submit counted.
    """

    job: Job
    deduplicated: bool = False
    rate: BucketLevel | None = None


async def submit(context: RequestContext, submission: Submission) -> SubmitResult:
    """Create the requested job, unless an earlier submit under its idempotency key has created it.

    The row is written before the message is sent: the sweeper finds a job without a message, but a message without
    a job would be useless. Raises InvalidRequest, IdempotencyKeyReused, and what `charge_submit` raises.
    """
    dependencies = context.dependencies
    now = dependencies.clock()
    written_digest = await dependencies.offload.run(context.tenant, submission.size, submission.digest)
    try:
        job, text = await _build_job(context, submission, written_digest, now)
    except InvalidRequest:
        # a request that was valid when the key was first used may be invalid by now: its upload may be gone
        existing = await _find_existing(context, submission.idempotency_key)
        if existing is None:
            raise
        return _deduplicated(existing, written_digest)
    job, rate = await _charge(context, submission.idempotency_key, job)
    await job_inputs.store_input(dependencies, job, text)
    existing = await dependencies.transport.send(job_items.put_job(dependencies.table, job, now=now))
    if existing is None or _is_same_write(existing, job):
        await _dispatch(dependencies, job, now)
        return SubmitResult(job, rate=rate)
    await uncharge_submit(context, job)
    return _deduplicated(existing, written_digest, job.meant)


async def _charge(context: RequestContext, idempotency_key: str | None, job: Job) -> tuple[Job, BucketLevel | None]:
    """Count the submit against the tenant's limits, unless its job is there already: a repeat is never refused.

    Returns the job, which says where it is counted, and what is left of the tenant's rate.
    """
    limits = await limits_of(context)
    if not limits.limits_submits or await _find_existing(context, idempotency_key):
        return (replace(job, counted=()) if job.counted else job), None
    return job, await charge_submit(context, limits, job)


async def _build_job(
    context: RequestContext, submission: Submission, written_digest: bytes, now: int
) -> tuple[Job, bytes]:
    """Validate the request and return the job to be written, and its input as JSON."""
    dependencies = context.dependencies
    job_type = _job_type(dependencies, submission.request)
    if errors := list(_field_errors(context, submission.request, job_type, now)):
        raise invalid_request(errors)
    prepared = await dependencies.offload.run(
        context.tenant, submission.size, partial(_prepare, submission, job_type, written_digest)
    )
    limits = await limits_of(context)
    _check_priority(submission.request, limits)
    job = _new_job(context, submission, job_type, prepared, limits=limits, now=now)
    job = with_room_to_grow(await _with_webhooks(context, submission.request, job))
    await job_inputs.check_uploads(dependencies, context.tenant, prepared.given.uploads, needed_at=job.start_at or now)
    job_inputs.check_input_is_kept(dependencies, job)
    return job, prepared.given.text


def _check_priority(request: SubmitRequest, limits: TenantLimits) -> None:
    # the default is no wish
    if "priority" in request.model_fields_set and request.priority.exceeds(limits.priority_max):
        detail = f"is more than {limits.priority_max}, the highest that you may ask for"
        raise invalid_request([FieldError("/priority", detail)])


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The parsed input of a submit, and the digests of the request as written and as normalized (`meant`)."""

    given: job_inputs.CheckedInput
    blob: Blob
    written_digest: bytes
    meant: bytes | None


def _prepare(submission: Submission, job_type: JobType[Any, Any], written_digest: bytes) -> _Prepared:
    """Parse the input and compute the digests. Sends nothing, and may take long.

    Raises InvalidRequest when the input does not fit the job type.
    """
    given = job_inputs.check_input(job_type, submission.request.input)
    meant = _truncated(
        written_digest
        if submission.replayed_from
        else idempotency.digest(idempotency.normalized(submission.request, given.model))
    )
    same = meant == _truncated(written_digest)
    return _Prepared(given, Blob.of(given.text, JSON), written_digest, None if same else meant)


def _truncated(digest: bytes) -> bytes:
    return digest[: idempotency.NORMALIZED_DIGEST_BYTES]


async def _find_existing(context: RequestContext, idempotency_key: str | None) -> Job | None:
    if idempotency_key is None:
        return None
    key = JobKey(context.tenant, _id_for_key(context, idempotency_key))
    job = await context.dependencies.transport.send(job_items.get_job(context.dependencies.table, key))
    return None if job is None or job.gone(context.dependencies.clock()) else job


def _id_for_key(context: RequestContext, idempotency_key: str) -> str:
    proxied = context.dependencies.settings.service_proxy == "on"
    plain = job_id_of_plain_key(idempotency_key) if proxied else None
    return plain or job_id_for_key(context.tenant, idempotency_key)


def _deduplicated(existing: Job, written_digest: bytes, meant: bytes | None = None) -> SubmitResult:
    if existing.digest != written_digest and (existing.meant or _truncated(existing.digest)) != (
        meant or _truncated(written_digest)
    ):
        raise IdempotencyKeyReused(f"The key was used for {existing.id}, with another body.")
    return SubmitResult(existing, deduplicated=True)


def _job_type(dependencies: Dependencies, request: SubmitRequest) -> JobType[Any, Any]:
    job_type = dependencies.catalog.get(request.type)
    if job_type is None:
        detail = unknown("job type", request.type, dependencies.catalog, see="see /v1/job-types")
        raise invalid_request([FieldError("/type", detail)])
    return job_type


def _field_errors(
    context: RequestContext, request: SubmitRequest, job_type: JobType[Any, Any], now: int
) -> Iterator[FieldError]:
    """Yield the field errors that the model alone cannot find."""
    if request.run_at is not None and request.delay is not None:
        yield FieldError("/delay", "cannot be given together with run_at")
    if request.run_at is not None and request.run_at > now + milliseconds(MAX_SECONDS_AHEAD):
        yield FieldError("/run_at", "is more than 366 days ahead")
    if request.timeout is not None and request.timeout > job_type.timeout:
        yield FieldError("/timeout", f"is more than the {job_type.timeout:g} seconds that {job_type.name} allows")
    if request.max_attempts is not None and request.max_attempts > job_type.max_attempts:
        yield FieldError("/max_attempts", f"is more than the {job_type.max_attempts} that {job_type.name} allows")
    most = context.dependencies.settings.max_retention
    if request.retention is not None and request.retention > most:
        yield FieldError("/retention", f"is more than the {most} seconds that this deployment allows")
    if request.webhook is not None:
        yield from url_errors(context, request.webhook.url, "/webhook/url")


def _new_job(
    context: RequestContext,
    submission: Submission,
    job_type: JobType[Any, Any],
    prepared: _Prepared,
    *,
    limits: TenantLimits,
    now: int,
) -> Job:
    dependencies, request, key = context.dependencies, submission.request, submission.idempotency_key
    run_at = request.run_at if request.delay is None else now + milliseconds(request.delay)
    start_at = run_at if run_at is not None and run_at > now else None
    deadline = None if request.queue_ttl is None else (start_at or now) + milliseconds(request.queue_ttl)
    transition = SUBMIT if start_at is None else SUBMIT_FOR_LATER
    assert transition.target is not None
    assert transition.event is not None
    retention = request.retention or min(dependencies.settings.default_retention, dependencies.settings.max_retention)
    job_id = _id_for_key(context, key) if key else make_id("job", dependencies.entropy(16))
    return Job(
        tenant=context.tenant,
        id=job_id,
        type=job_type.name,
        lane=job_type.lane,
        status=transition.target,
        version=1,
        created_at=now,
        updated_at=now,
        attempt=0,
        max_attempts=request.max_attempts or job_type.max_attempts,
        timeout=milliseconds(request.timeout or job_type.timeout),
        retention=milliseconds(retention),
        digest=prepared.written_digest,
        meant=prepared.meant,
        input=prepared.blob,
        due_shard=due_shard(ShardKind.DUE, job_id, dependencies.settings.due_shards),
        due_at=due.for_dispatch(now=now, start_at=start_at, queue_deadline=deadline, dispatches=0),
        run_at=run_at,
        start_at=start_at,
        queue_deadline=deadline,
        metadata=request.metadata,
        priority=request.priority.within(limits.priority_max),
        counted=tallies_of(limits),
        replayed_from=submission.replayed_from,
        history=(JobEvent(transition.event, now),),
        trace=context.trace,
    )


async def _with_webhooks(context: RequestContext, request: SubmitRequest, job: Job) -> Job:
    """Return the job with its webhook settings: which events are sent, and where.

    Raises InvalidRequest when the Host is too long for links.
    """
    job_webhook = request.webhook
    job_events = sorted_events(job_webhook.events) if job_webhook else ()
    notify = sorted_events([*job_events, *await subscribed_events(context, job.created_at)])
    if not notify:
        return job
    if len(context.base_url) > MAX_BASE_URL_LENGTH:
        raise InvalidRequest("The Host header is too long for the links in webhooks.")
    webhook = {"url": job_webhook.url, "events": list(job_events)} if job_webhook else None
    return replace(job, webhook=webhook, notify=notify, base_url=context.base_url)


def _is_same_write(existing: Job, job: Job) -> bool:
    """Whether the row is the one we just wrote: the reply was lost, and the SDK retried the write."""
    return (existing.created_at, existing.version, existing.digest) == (job.created_at, 1, job.digest)


async def _dispatch(dependencies: Dependencies, job: Job, now: int) -> None:
    """Send the job's message to its queue, unless the job starts too late for one."""
    delay = due.message_delay(now=now, start_at=job.start_at)
    if delay is not None:
        message = enqueue_job(dependencies.settings, job, delay=delay)
        await run_async(dependencies.transport, send_or_log(message, job.id))
