"""Bugs in what the sweeper reads, in which order it acts, and what it makes of answers that are not whole."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.due_index import DuePage
from coatcheck.core.aws.flow import Flow, send
from coatcheck_worker import orphans
from coatcheck_worker.sweep import deliveries, dispatch, due_rows, jobs, removals, shard_assignment
from coatcheck_worker.sweep.due_pages import DuePages
from tests.mutants.mutant import Mutant, patched, returning

BACKLOGS = "tests/simulation/test_backlogs.py"


def _no_page_follows(page: Any) -> Any:
    def first(self: Any, number: int, after: Any) -> Any:
        read = page(self, number, after)
        return None if read is None else DuePage(read.keys, None)

    return first


def _without_the_last(init: Any) -> Any:
    def made(self: Any, dependencies: Any, kind: Any, starts: Any, find: Any, **kwargs: Any) -> None:
        init(self, dependencies, kind, dict([*starts.items()][:-1]), find, **kwargs)

    return made


def _whatever_the_time() -> None:
    for module in (deliveries, removals):
        patched(
            module,
            "in_time",
            lambda _: lambda dependencies, _u, action, row: due_rows.safely(partial(action, dependencies, row), ""),
        )()
    patched(
        dispatch,
        "_dispatch_in_time",
        lambda _: lambda dependencies, _until, batch: dispatch._dispatch(dependencies, batch),
    )()


def _removed_at_one_go(_: Any) -> Any:
    def remove(bucket: str, prefix: str, *, left_by: Any = None) -> Flow[None]:
        keys = yield from send(s3.list_keys(bucket, prefix))
        if keys := s3_keys.keys_left_by(left_by, keys) if left_by else keys:
            yield from send(s3.delete(bucket, keys))

    return remove


def _all_taken(sent: Any) -> Any:
    def taken(dependencies: Any, lane: str, messages: Any) -> set[int]:
        sent(dependencies, lane, messages)
        return set(messages)

    return taken


def _nothing_unread(get_jobs: Any) -> Any:
    def get(*args: Any, **kwargs: Any) -> Call[Any]:
        call = get_jobs(*args, **kwargs)
        return replace(call, read=lambda answer: replace(call.read(answer), unprocessed=()))

    return get


def _always_the_first_part() -> None:
    part = shard_assignment.ShardAssignment.part

    def first(_: Any, index: int, parts: int, shards: int) -> Any:
        return replace(part(0, parts, shards), first=index == 0)

    setattr(shard_assignment.ShardAssignment, "part", classmethod(first))  # noqa: B010 - a bug is put in its place


MUTANTS = (
    Mutant("of each shard one page is read", patch=patched(DuePages, "_page", _no_page_follows), test=BACKLOGS),
    Mutant(
        "each page is the first",
        patch=patched(DuePages, "_page", lambda page: lambda self, number, _: page(self, number, None)),
        test=f"{BACKLOGS}::test_a_dead_worker_is_noticed_before_a_backlog_is_woken",
    ),
    Mutant("the last shard is never read", patch=patched(DuePages, "__init__", _without_the_last)),
    Mutant("a sweep does not look at the time", patch=_whatever_the_time, test=BACKLOGS),
    Mutant(
        "a page of messages goes before the next page is read",
        patch=patched(jobs, "MAX_HELD", lambda _: 1),
        test=BACKLOGS,
    ),
    Mutant(
        "messages that wait are sent again", patch=patched(dispatch, "_queue_depth", returning(answer=0)), test=BACKLOGS
    ),
    Mutant(
        "what cannot be removed is tried again in each sweep",
        patch=patched(removals, "RETRY_AFTER", lambda _: 0),
        test=BACKLOGS,
    ),
    Mutant(
        "what S3 has not deleted is taken to be deleted",
        patch=patched(orphans, "remove_objects", _removed_at_one_go),
        test=BACKLOGS,
    ),
    Mutant("what SQS has not taken is taken to be sent", patch=patched(dispatch, "_sent", _all_taken), test=BACKLOGS),
    Mutant(
        "rows that DynamoDB has not read are forgotten",
        patch=patched(due_rows, "get_jobs", _nothing_unread),
        test=BACKLOGS,
    ),
    Mutant("sweepers that share the work do the same part", patch=_always_the_first_part, test=BACKLOGS),
)
