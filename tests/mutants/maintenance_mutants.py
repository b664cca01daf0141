"""Bugs in what happens around a job's run: deletion, expiry, used keys, endpoints, other versions, odd errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coatcheck.core import due
from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.call import AwsError, Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, row_writes, transitions, webhook_items
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.flow import Flow
from coatcheck.core.job import Job
from coatcheck_service.actions import direct_uploads, purge, submit
from coatcheck_worker import orphans
from coatcheck_worker.runner import execution
from coatcheck_worker.supervisor import heartbeat, poller, settle
from coatcheck_worker.webhooks import event_body
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from tests.mutants.mutant import Mutant, patched, returning, with_arguments

ENDINGS = "tests/aws/worker/test_endings.py"
REUSED = "tests/aws/worker/test_reused_ids.py"
ORPHANS = "tests/aws/worker/test_orphans.py"


def _whatever_stands_there(make: Any) -> Any:
    """A write that is made whatever its condition was."""

    def unconditional(*args: Any, **kwargs: Any) -> Call[Any]:
        call = make(*args, **kwargs)
        alias = next(iter(call.params["ExpressionAttributeNames"]))
        always = f"attribute_exists({alias}) OR attribute_not_exists({alias})"
        return replace(call, params={**call.params, "ConditionExpression": always})

    return unconditional


def _whichever(forget_job: Any) -> Any:
    """The next job of the id is forgotten as well as the one that was read."""

    def forget(table: str, job: Job, *, now: int) -> Call[Any]:
        call = forget_job(table, job, now=now)
        params = dict(call.params)
        text = params["ConditionExpression"]
        alias = next(a for a, n in params["ExpressionAttributeNames"].items() if n == "listed")
        kept = [one for one in text.split(" AND ") if not one.startswith(f"{alias} =")]
        return replace(call, params={**params, "ConditionExpression": " AND ".join(kept)})

    return forget


def _only_aws_errors(not_renewed: Any) -> Any:
    def noted(self: Any, news: Any, error: Exception) -> None:
        if not isinstance(error, AwsError):
            raise error
        not_renewed(self, news, error)

    return noted


def _heartbeat_dies() -> None:
    patched(heartbeat.Heartbeat, "_tick", lambda _: heartbeat.Heartbeat._tick_once)()
    patched(heartbeat.Heartbeat, "_not_renewed", _only_aws_errors)()


def _left(_: Any) -> Any:
    def remove_objects(*_: Any, **__: Any) -> Flow[None]:
        yield from ()

    return remove_objects


def _remembered(endpoint: Callable[..., Any]) -> Any:
    """The endpoint as it was when it was first read."""
    known: dict[str, Any] = {}

    def read(self: Any, delivery: Any) -> Any:
        if delivery.key.id not in known:
            known[delivery.key.id] = endpoint(self, delivery)
        return known[delivery.key.id]

    return read


def _none_beside(_: Any) -> Any:
    def read(table: str, job: Job) -> Call[list[Any]]:
        return Call(
            "dynamodb", "GetItem", job_items.get_job(table, JobKey(job.tenant, job.id)).params, read=lambda _: []
        )

    return read


async def _never_stored(*_: Any) -> bool:
    return False


def _of_nothing(new_job: Any) -> Any:
    return lambda *args: replace(new_job(*args), replayed_from=None)


def _kept_for_no_time(final: Any) -> Any:
    return lambda job, transition, *, now: final(replace(job, retention=0), transition, now=now)


def _missed_from_the_beginning(requeue_unknown_type: Any) -> Any:
    return lambda dependencies, job: requeue_unknown_type(dependencies, replace(job, type_missed_at=job.created_at))


MUTANTS = (
    Mutant(
        "DELETE forgets whichever job has the id",
        patch=patched(job_updates, "purge_job", _whichever),
        test=f"{REUSED}::test_a_write_for_the_finished_job_before_is_refused",
    ),
    Mutant("DELETE leaves the bytes", patch=patched(purge, "remove_objects", _left)),
    Mutant("DELETE leaves the deliveries", patch=patched(job_items, "list_job_items", _none_beside)),
    Mutant("what has expired is never removed", patch=patched(orphans, "remove_expired", returning())),
    Mutant(
        "expiry removes what the next job of the id has",
        patch=patched(s3_keys, "keys_left_by", lambda _: lambda _job, keys: list(keys)),
        test=f"{ORPHANS}::test_what_a_job_left_goes_with_its_retention_and_the_next_of_its_id_keeps_its_own",
    ),
    Mutant(
        "what arrives after a job was removed is left",
        patch=patched(due, "for_late_writes", returning()),
        test=f"{ORPHANS}::test_what_arrives_after_a_job_was_removed_is_removed_too",
    ),
    Mutant(
        "an artifact that was given up is left",
        patch=patched(execution, "store_result", with_arguments(in_row=MAX_RESULT_IN_ROW)),
        test=f"{ORPHANS}::test_an_artifact_whose_upload_seemed_to_fail_goes_with_a_job_that_has_nothing_else_to_remove",
    ),
    Mutant("a job is kept for no time", patch=patched(transitions, "_final", _kept_for_no_time)),
    Mutant("a used key gives a job that is gone", patch=patched(job_items, "put_job", with_arguments(now=0))),
    Mutant("a replay does not say of what", patch=patched(submit, "_new_job", _of_nothing)),
    Mutant("an upload can be completed once", patch=patched(direct_uploads, "_is_stored", lambda _: _never_stored)),
    Mutant("a heartbeat ends with any error that is not AWS's", patch=_heartbeat_dies),
    Mutant(
        "what a newer version wrote is written over",
        patch=patched(row_writes, "is_known", lambda _: lambda e: f"attribute_not_exists({e.name('no_attribute')})"),
    ),
    Mutant(
        "a row is put off whatever has happened to it", patch=patched(job_updates, "postpone", _whatever_stands_there)
    ),
    Mutant(
        "what was told is noted over what others noted",
        patch=patched(job_updates, "mark_notified", _whatever_stands_there),
    ),
    Mutant(
        "two hold one try of a delivery",
        patch=patched(webhook_items, "update_delivery", _whatever_stands_there),
        test="tests/aws/test_webhook_items.py::test_a_try_is_held_by_one_alone",
    ),
    Mutant("an endpoint that was deleted is written to", patch=patched(DeliveryContext, "endpoint", _remembered)),
    Mutant(
        "the start is told as the job is now", patch=patched(event_body, "job_at_event", lambda _: lambda job, _: job)
    ),
    Mutant(
        "a missing type is missed from the beginning",
        patch=patched(settle, "requeue_unknown_type", _missed_from_the_beginning),
        test=f"{ENDINGS}::TestEndings::test_a_type_without_a_handler_waits_a_day_for_a_worker_that_has_one",
    ),
    Mutant(
        "a worker that is told to end hands nothing back",
        patch=patched(poller.Poller, "hand_back", returning()),
        test="tests/aws/worker/test_poller.py",
    ),
)
