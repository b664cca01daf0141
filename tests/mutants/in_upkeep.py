"""Bugs in what happens around a job's run: deletion, expiry, used keys, endpoints, other versions, odd errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coatcheck import blobs
from coatcheck.calls import AwsError, Call
from coatcheck.record import Job
from coatcheck.table import items, moves, notes, webhooks
from coatcheck.table.keys import JobKey
from service import purge, submit, uploads
from tests.mutants.bugs import Bug, given, nothing, replaced
from worker import heart, leftovers, poller, settle
from worker.webhooks import body
from worker.webhooks.desk import Desk

ENDINGS = "tests/aws/worker/test_endings.py"
REUSED = "tests/aws/worker/test_reused_ids.py"
LEFTOVERS = "tests/aws/worker/test_leftovers.py"


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


def _heart_dies() -> None:
    replaced(heart.Heart, "_look", lambda _: heart.Heart._look_once)()
    replaced(heart.Heart, "_not_renewed", _only_aws_errors)()


async def _none_left(*_: Any) -> list[str]:
    return []


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
        return Call("dynamodb", "GetItem", items.get_job(table, JobKey(job.tenant, job.id)).params, read=lambda _: [])

    return read


async def _never_stored(*_: Any) -> bool:
    return False


def _of_nothing(new_job: Any) -> Any:
    return lambda *args: replace(new_job(*args), replayed_from=None)


def _kept_for_no_time(final: Any) -> Any:
    return lambda job, move, *, now: final(replace(job, retention=0), move, now=now)


def _missed_from_the_beginning(left_for_others: Any) -> Any:
    return lambda tools, job: left_for_others(tools, replace(job, type_missed_at=job.created_at))


BUGS = (
    Bug(
        "DELETE forgets whichever job has the id",
        puts=replaced(notes, "forget_job", _whichever),
        test=f"{REUSED}::test_a_write_for_the_finished_job_before_is_refused",
    ),
    Bug("DELETE leaves the bytes", puts=replaced(purge, "_left", lambda _: _none_left)),
    Bug("DELETE leaves the deliveries", puts=replaced(items, "items_beside", _none_beside)),
    Bug("what has expired is never removed", puts=replaced(leftovers, "remove_expired", nothing())),
    Bug(
        "expiry removes what the next job of the id has",
        puts=replaced(blobs, "left_by", lambda _: lambda _job, keys: list(keys)),
        test=f"{LEFTOVERS}::test_what_a_job_left_goes_with_its_retention_and_the_next_of_its_id_keeps_its_own",
    ),
    Bug("a job is kept for no time", puts=replaced(moves, "_final", _kept_for_no_time)),
    Bug("a used key gives a job that is gone", puts=replaced(items, "put_job", given(now=0))),
    Bug("a replay does not say of what", puts=replaced(submit, "_new_job", _of_nothing)),
    Bug("an upload can be completed once", puts=replaced(uploads, "_is_stored", lambda _: _never_stored)),
    Bug("a heartbeat ends with any error that is not AWS's", puts=_heart_dies),
    Bug("what a newer version wrote is written over", puts=replaced(moves, "SCHEMA", lambda _: "no_attribute")),
    Bug("a row is put off whatever has happened to it", puts=replaced(notes, "postpone", _whatever_stands_there)),
    Bug("what was told is noted over what others noted", puts=replaced(notes, "announce", _whatever_stands_there)),
    Bug(
        "two hold one try of a delivery",
        puts=replaced(webhooks, "update_delivery", _whatever_stands_there),
        test="tests/aws/test_webhook_items.py::test_a_try_is_held_by_one_alone",
    ),
    Bug("an endpoint that was deleted is written to", puts=replaced(Desk, "endpoint", _remembered)),
    Bug("the start is told as the job is now", puts=replaced(body, "as_at", lambda _: lambda job, _: job)),
    Bug(
        "a missing type is missed from the beginning",
        puts=replaced(settle, "left_for_others", _missed_from_the_beginning),
        test=f"{ENDINGS}::TestEndings::test_a_type_without_a_handler_waits_a_day_for_a_worker_that_has_one",
    ),
    Bug(
        "a worker that is told to end hands nothing back",
        puts=replaced(poller.Poller, "_hand_back", nothing()),
        test="tests/aws/worker/test_poller.py",
    ),
)
