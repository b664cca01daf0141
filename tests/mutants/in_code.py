"""Bugs in the code of the kernel, the worker, the sweeper and the service."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coatcheck import blobs, due, lifecycle, webhooks
from coatcheck.calls import Call
from coatcheck.clock import DAY, HOUR
from coatcheck.ids import make_id
from coatcheck.lifecycle import Status
from coatcheck.queues import delete
from coatcheck.record import Blob, Job
from coatcheck.table import items, moves, notes
from coatcheck.table import webhooks as table_webhooks
from coatcheck.table.keys import JobKey
from service import deliveries, listing, submit
from tests.mutants.bugs import Bug, answering, given, given_job, nothing, replaced
from worker import attempt, aws_lambda, heart, leftovers, poller, run, settle
from worker.sweep import deliveries as swept_deliveries
from worker.sweep import jobs as swept_jobs
from worker.sweep import lost, waking
from worker.webhooks import announce, deliver

PUNCTUAL = "tests/simulation/test_punctual.py"
LEFTOVERS = "tests/aws/worker/test_leftovers.py"
PURGED = "tests/aws/service/test_purged_webhooks.py"
VERSIONS = "tests/aws/worker/test_other_versions.py"
RESENT = "tests/aws/service/test_webhooks_deliveries.py::TestResend"
LISTS = "tests/aws/service/test_lists.py::TestList"
REUSED = "tests/aws/worker/test_reused_ids.py::test_a_write_for_the_finished_job_before_is_refused"


def _pointer_before_bytes() -> None:
    held: dict[tuple[str, int], Call[None]] = {}
    succeeded = settle.succeeded

    def hold(_: Any, bucket: str, job: Job, result: Any, *, check: Callable[[], None]) -> Blob:
        check()
        sha256 = hashlib.sha256(result.body).digest()
        key = blobs.result_key(job)
        held[job.id, job.attempt] = blobs.put(bucket, key, result.body, content_type="x/y", sha256=sha256)
        return Blob(len(result.body), sha256, "x/y")

    def settle_first(tools: Any, job: Job, result: Blob, artifacts: int) -> Any:
        verdict = succeeded(tools, job, result, artifacts)
        tools.aws.send(held[job.id, job.attempt])
        return verdict

    _put(attempt, "store_result", hold)
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
    def mine(tools: Any, key: Any) -> Any:
        outcome = claim(tools, key)
        job = outcome.job if isinstance(outcome, moves.Refused) else None
        return job if job is not None and job.status is Status.RUNNING else outcome

    return mine


def _discard_all(_: Any) -> Any:
    def discard(tools: Any, job: Job) -> None:
        bucket = tools.deployment.bucket
        for key in tools.aws.send(blobs.keys_under(bucket, f"results/{job.tenant}/{job.id}/")):
            tools.aws.send(blobs.delete(bucket, [key]))

    return discard


def _beats_on(beat: Any) -> Any:
    """A worker that lost its lease goes on, and settles whatever attempt the row is in by then."""

    def deaf(self: Any, now: int) -> None:
        beat(self, now)
        if self.stop is heart.Stop.LEASE_LOST:
            self.stop = None

    return deaf


def _in_the_rows_attempt(succeeded: Any) -> Any:
    def settled(tools: Any, job: Job, *args: Any) -> Any:
        row = tools.aws.send(items.get_job(tools.deployment.table, JobKey(job.tenant, job.id)))
        return succeeded(tools, replace(job, attempt=row.attempt), *args)

    return settled


def _refusal_ignored() -> None:
    replaced(heart.Heart, "_beat", _beats_on)()
    replaced(settle, "succeeded", _in_the_rows_attempt)()


def _requeue_unseen() -> None:
    replaced(swept_jobs, "_lease_is_out", nothing(answer=True))()
    for move in lifecycle.MOVES:
        object.__setattr__(move, "by_sweeper", False)


def _deleted_first() -> None:
    def deleting(handle: Any) -> Any:
        def deleted(tools: Any, received: Any, **kwargs: Any) -> Any:
            tools.aws.send(delete(received))
            return handle(tools, received, **kwargs)

        return deleted

    for consumer in (poller, aws_lambda):
        replaced(consumer, "handle", deleting)()


def _nothing_sent() -> None:
    replaced(lost, "_send", nothing())()
    replaced(waking, "_sent", lambda _: lambda _tools, _lane, messages: set(messages))()


def _sent_once(for_dispatch: Any) -> Any:
    def once(*, dispatches: int, **kwargs: Any) -> int:
        return int(for_dispatch(dispatches=dispatches, **kwargs) + (400 * DAY if dispatches else 0))

    return once


def _never_due(put_delivery: Any) -> Any:
    return lambda table, delivery: put_delivery(table, replace(delivery, due_at=None))


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
    def unfenced(_: Any) -> Any:
        return lambda table, job, e, holds: moves._update(table, JobKey(job.tenant, job.id), e, [f"({holds})"])

    for module in (moves, notes):
        replaced(module, "update_if", unfenced)()


BUGS = (
    Bug("no sweeper at all", puts=replaced(swept_jobs, "asks_for", nothing())),
    Bug("the pointer before the bytes", puts=_pointer_before_bytes),
    Bug("submit without its condition", puts=replaced(items, "put_job", _unconditional)),
    Bug("submit without due_at", puts=replaced(items, "put_job", given_job(due_at=None))),
    Bug(
        "an idempotency key makes a new job each time",
        puts=replaced(submit, "job_id_for_key", lambda _: lambda *_: make_id("job", secrets.token_bytes(16))),
    ),
    Bug("a write is for whichever job has the id", puts=_whichever_job, test=REUSED),
    Bug("retry forgets due_at", puts=replaced(moves, "_queued_again", answering(due_at=None))),
    Bug("the claim is not seen by the sweeper", puts=replaced(due, "for_lease", lambda _: lambda at: at + DAY)),
    Bug("a lost message is sent again once, and no more", puts=replaced(due, "for_dispatch", _sent_once)),
    Bug("the sweeper sends nothing", puts=_nothing_sent),
    Bug("the sweeper leaves cancels alone", puts=replaced(lost, "finish_cancel", nothing("early"))),
    Bug("the sweeper takes a job without a look at its lease", puts=_requeue_unseen),
    Bug("the lease is never renewed", puts=replaced(heart.Heart, "_due", nothing(answer=False))),
    Bug("a lease of an hour", puts=replaced(moves, "claim", given(lease=HOUR))),
    Bug("a worker that lost its lease goes on, and settles what the row is in", puts=_refusal_ignored),
    Bug("any running job is taken for one's own", puts=replaced(run, "_claim", _any_running_job)),
    Bug("a leg counts as a failed attempt", puts=replaced(moves, "continue_later", given_job(max_attempts=0))),
    Bug("a loser discards the winner's result", puts=replaced(leftovers, "discard", _discard_all)),
    Bug(
        "what is removed is looked for by a prefix without its slash",
        puts=replaced(blobs, "keys_under", lambda under: lambda bucket, prefix: under(bucket, prefix.rstrip("/"))),
        test=f"{LEFTOVERS}::test_the_first_attempt_that_comes_too_late_discards_nothing_of_the_tenth",
    ),
    Bug(
        "attempts write over each other's result",
        puts=replaced(blobs, "attempt_prefix", lambda _: lambda job: f"results/{job.tenant}/{job.id}/"),
    ),
    Bug(
        "checkpoints write over each other",
        puts=replaced(
            blobs, "checkpoint_key", lambda _: lambda job, _sha256: f"inputs/{job.tenant}/{job.id}/checkpoint"
        ),
    ),
    Bug("the message is deleted before the job is settled", puts=_deleted_first, test=PUNCTUAL),
    Bug("history is forgotten where it is full", puts=replaced(settle, "_spill", nothing())),
    Bug("an attempt may run for ever", puts=replaced(attempt, "Heart", given(deadline=2**60))),
    Bug("a handler that does not stop is left alone", puts=replaced(heart, "STUBBORN_AFTER", lambda _: DAY)),
    Bug("an end that is to be told of is not due", puts=replaced(moves, "_final", answering(due_at=None))),
    Bug("a delivery is not due until it is tried", puts=replaced(announce, "put_delivery", _never_due)),
    Bug("the sweeper leaves deliveries alone", puts=replaced(swept_deliveries, "_attend", nothing("gone"))),
    Bug("a delivery of a job that was deleted is sent", puts=replaced(deliver, "was_purged", _never), test=PURGED),
    Bug(
        "what is not known of an endpoint is dropped", puts=replaced(table_webhooks, "to_saved", _unkept), test=VERSIONS
    ),
    Bug("a submit replaces a row of a newer version", puts=replaced(items, "put_job", _over_newer_rows), test=VERSIONS),
    Bug("what is sent again goes with its first TTL", puts=replaced(deliveries, "KEPT_FOR", lambda _: 0), test=RESENT),
    Bug("rows that are left out of a list's batch are lost", puts=replaced(listing, "ROUNDS", lambda _: 1), test=LISTS),
    Bug("an event gets another id each time", puts=replaced(announce, "event_id", _any_id)),
    Bug("a lost attempt is not told of", puts=replaced(deliver, "_with_lost_attempt", lambda _: lambda read: read)),
    Bug("what was lost is under way for ever", puts=replaced(webhooks, "TRY_LEASE", lambda _: 400 * DAY)),
)
