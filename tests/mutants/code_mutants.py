"""Bugs in the code of the kernel, the worker, the sweeper and the service."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import Any

from coatcheck.core import due, lifecycle, webhooks
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb import webhook_items as table_webhooks
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.row_writes import RowWrite
from coatcheck.core.aws.sqs import delete
from coatcheck.core.clock import DAY, HOUR
from coatcheck.core.ids import make_id
from coatcheck.core.job import Blob, Job
from coatcheck.core.lifecycle import Status
from coatcheck_service.actions import list_jobs, submit, webhook_deliveries
from coatcheck_worker import aws_lambda, orphans
from coatcheck_worker.protocol import RunJob
from coatcheck_worker.runner import execution
from coatcheck_worker.supervisor import attempt, claim, heartbeat, poller, settle
from coatcheck_worker.sweep import deliveries as swept_deliveries
from coatcheck_worker.sweep import dispatch, recovery
from coatcheck_worker.sweep import jobs as swept_jobs
from coatcheck_worker.webhooks import create_deliveries, deliver
from tests.mutants.mutant import Mutant, patched, returning, with_answer, with_arguments, with_job_fields

TIMELINESS = "tests/simulation/test_timeliness.py"
ORPHANS = "tests/aws/worker/test_orphans.py"
PURGED = "tests/aws/service/test_purged_webhooks.py"
VERSIONS = "tests/aws/worker/test_other_versions.py"
RESENT = "tests/aws/service/test_webhooks_deliveries.py::TestResend"
LISTS = "tests/aws/service/test_lists.py::TestList"
REUSED = "tests/aws/worker/test_reused_ids.py::test_a_write_for_the_finished_job_before_is_refused"


def _pointer_before_bytes() -> None:
    held: dict[tuple[str, int], Call[None]] = {}
    succeeded = settle.succeeded

    def hold(_: Any, bucket: str, job: RunJob, result: Any, **given: Any) -> Blob:
        given["check"]()
        sha256 = hashlib.sha256(result.body).digest()
        key = s3_keys.result_key(job)
        held[job.id, job.attempt] = s3.put(bucket, key, result.body, content_type="x/y", sha256=sha256)
        return Blob(len(result.body), sha256, "x/y")

    def settle_first(dependencies: Any, job: Job, result: Blob, artifacts: int) -> Any:
        disposition = succeeded(dependencies, job, result, artifacts)
        dependencies.transport.send(held[job.id, job.attempt])
        return disposition

    _put(execution, "store_result", hold)
    _put(settle, "succeeded", settle_first)


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _unconditional(put_job: Any) -> Any:
    def put(table: str, job: Job, *, now: int) -> Call[Job | None]:
        call = put_job(table, job, now=now)
        params = {name: value for name, value in call.params.items() if name in {"TableName", "Item"}}
        return replace(call, params=params)

    return put


def _any_running_job(claim: Any) -> Any:
    def mine(dependencies: Any, key: Any) -> Any:
        outcome = claim(dependencies, key)
        job = outcome.job if isinstance(outcome, transitions.TransitionRefused) else None
        return job if job is not None and job.status is Status.RUNNING else outcome

    return mine


def _discard_all(_: Any) -> Any:
    def discard(dependencies: Any, job: Job) -> None:
        bucket = dependencies.settings.bucket
        for key in dependencies.transport.send(s3.list_keys(bucket, f"results/{job.tenant}/{job.id}/")):
            dependencies.transport.send(s3.delete(bucket, [key]))

    return discard


def _discards_all_of_the_job() -> None:
    for module in (attempt, settle, orphans):
        patched(module, "discard_attempt", _discard_all)()


def _renews_after_loss(beat: Any) -> Any:
    """A worker that lost its lease goes on, and settles whatever attempt the row is in by then."""

    def deaf(self: Any, now: int) -> None:
        beat(self, now)
        if self.stop is heartbeat.StopReason.LEASE_LOST:
            self.stop = None

    return deaf


def _in_the_rows_attempt(succeeded: Any) -> Any:
    def settled(dependencies: Any, job: Job, *args: Any) -> Any:
        row = dependencies.transport.send(job_items.get_job(dependencies.settings.table, JobKey(job.tenant, job.id)))
        return succeeded(dependencies, replace(job, attempt=row.attempt), *args)

    return settled


def _refusal_ignored() -> None:
    patched(heartbeat.Heartbeat, "_renew_lease", _renews_after_loss)()
    patched(settle, "succeeded", _in_the_rows_attempt)()


def _requeue_unseen() -> None:
    patched(swept_jobs, "_lease_expired", returning(answer=True))()
    for transition in lifecycle.TRANSITIONS:
        object.__setattr__(transition, "by_sweeper", False)


def _deleted_first() -> None:
    def deleting(handle: Any) -> Any:
        def deleted(dependencies: Any, received: Any, **kwargs: Any) -> Any:
            dependencies.transport.send(delete(received))
            return handle(dependencies, received, **kwargs)

        return deleted

    for consumer in (poller, aws_lambda):
        patched(consumer, "handle", deleting)()


def _nothing_sent() -> None:
    patched(recovery, "_send", returning())()
    patched(dispatch, "_sent", lambda _: lambda _tools, _lane, messages: set(messages))()


def _sent_once(for_dispatch: Any) -> Any:
    def once(*, dispatches: int, **kwargs: Any) -> int:
        return int(for_dispatch(dispatches=dispatches, **kwargs) + (400 * DAY if dispatches else 0))

    return once


def _never_due(put_delivery: Any) -> Any:
    return lambda table, delivery, **kwargs: put_delivery(table, replace(delivery, due_at=None), **kwargs)


def _unkept(told: Any) -> Any:
    return lambda value, but=(): told(replace(value, unknown={}), but=but)


def _over_newer_rows(put_job: Any) -> Any:
    def put(table: str, job: Job, *, now: int) -> Call[Job | None]:
        call = put_job(table, job, now=now)
        over = call.params["ConditionExpression"].replace("attribute_not_exists(#schema) AND ", "")
        names = {alias: name for alias, name in call.params["ExpressionAttributeNames"].items() if alias != "#schema"}
        return replace(call, params={**call.params, "ConditionExpression": over, "ExpressionAttributeNames": names})

    return put


def _never(was_purged: Any) -> Any:
    return lambda *args: replace(was_purged(*args), read=lambda _: False)


def _any_id(_: Any) -> Any:
    return lambda *_: make_id("evt", secrets.token_bytes(16))


def _whichever_job() -> None:
    def unfenced(cls: Any, table: str, job: Job, e: Expression, holds: str) -> RowWrite:
        made: RowWrite = cls(table, JobKey(job.tenant, job.id), e, (f"({holds})",))
        return made

    _put(RowWrite, "of", classmethod(unfenced))


MUTANTS = (
    Mutant("no sweeper at all", patch=patched(swept_jobs, "action_for", returning())),
    Mutant("the pointer before the bytes", patch=_pointer_before_bytes),
    Mutant("submit without its condition", patch=patched(job_items, "put_job", _unconditional)),
    Mutant("submit without due_at", patch=patched(job_items, "put_job", with_job_fields(due_at=None))),
    Mutant(
        "an idempotency key makes a new job each time",
        patch=patched(submit, "job_id_for_key", lambda _: lambda *_: make_id("job", secrets.token_bytes(16))),
    ),
    Mutant("a write is for whichever job has the id", patch=_whichever_job, test=REUSED),
    Mutant("retry forgets due_at", patch=patched(transitions, "_queued_again", with_answer(due_at=None))),
    Mutant("the claim is not seen by the sweeper", patch=patched(due, "for_lease", lambda _: lambda at: at + DAY)),
    Mutant("a lost message is sent again once, and no more", patch=patched(due, "for_dispatch", _sent_once)),
    Mutant("the sweeper sends nothing", patch=_nothing_sent),
    Mutant("the sweeper leaves cancels alone", patch=patched(recovery, "finish_cancel", returning("early"))),
    Mutant("the sweeper takes a job without a look at its lease", patch=_requeue_unseen),
    Mutant("the lease is never renewed", patch=patched(heartbeat.Heartbeat, "_due", returning(answer=False))),
    Mutant("a lease of an hour", patch=patched(transitions, "claim", with_arguments(lease=HOUR))),
    Mutant("a worker that lost its lease goes on, and settles what the row is in", patch=_refusal_ignored),
    Mutant("any running job is taken for one's own", patch=patched(claim, "_claim", _any_running_job)),
    Mutant(
        "a leg counts as a failed attempt",
        patch=patched(transitions, "continue_later", with_job_fields(max_attempts=0)),
    ),
    Mutant("a loser discards the winner's result", patch=_discards_all_of_the_job),
    Mutant(
        "what is removed is looked for by a prefix without its slash",
        patch=patched(s3, "list_keys", lambda under: lambda bucket, prefix: under(bucket, prefix.rstrip("/"))),
        test=f"{ORPHANS}::test_the_first_attempt_that_comes_too_late_discards_nothing_of_the_tenth",
    ),
    Mutant(
        "attempts write over each other's result",
        patch=patched(s3_keys, "attempt_prefix", lambda _: lambda job: f"results/{job.tenant}/{job.id}/"),
    ),
    Mutant(
        "checkpoints write over each other",
        patch=patched(
            s3_keys, "checkpoint_key", lambda _: lambda job, _sha256: f"inputs/{job.tenant}/{job.id}/checkpoint"
        ),
    ),
    Mutant("the message is deleted before the job is settled", patch=_deleted_first, test=TIMELINESS),
    Mutant("history is forgotten where it is full", patch=patched(settle, "_spill", returning())),
    Mutant("an attempt may run for ever", patch=patched(attempt, "Heartbeat", with_arguments(deadline=2**60))),
    Mutant("a handler that does not stop is left alone", patch=patched(heartbeat, "STOP_GRACE", lambda _: DAY)),
    Mutant("an end that is to be told of is not due", patch=patched(transitions, "_final", with_answer(due_at=None))),
    Mutant("a delivery is not due until it is tried", patch=patched(create_deliveries, "put_delivery", _never_due)),
    Mutant(
        "the sweeper leaves deliveries alone", patch=patched(swept_deliveries, "_process_delivery", returning("gone"))
    ),
    Mutant("a delivery of a job that was deleted is sent", patch=patched(deliver, "was_purged", _never), test=PURGED),
    Mutant(
        "what is not known of an endpoint is dropped", patch=patched(table_webhooks, "to_saved", _unkept), test=VERSIONS
    ),
    Mutant(
        "a submit replaces a row of a newer version",
        patch=patched(job_items, "put_job", _over_newer_rows),
        test=VERSIONS,
    ),
    Mutant(
        "what is sent again goes with its first TTL",
        patch=patched(webhook_deliveries, "DELIVERY_RETENTION", lambda _: 0),
        test=RESENT,
    ),
    Mutant(
        "rows that are left out of a list's batch are lost",
        patch=patched(list_jobs, "MAX_BATCH_TRIES", lambda _: 1),
        test=LISTS,
    ),
    Mutant("an event gets another id each time", patch=patched(create_deliveries, "event_id", _any_id)),
    Mutant("a lost attempt is not told of", patch=patched(deliver, "_with_lost_attempt", lambda _: lambda read: read)),
    Mutant("what was lost is under way for ever", patch=patched(webhooks, "ATTEMPT_LEASE", lambda _: 400 * DAY)),
)
