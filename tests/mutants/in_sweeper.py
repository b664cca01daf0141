"""Bugs in what the sweeper reads, in which order it acts, and what it makes of answers that are not whole."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from coatcheck import blobs
from coatcheck.calls import Call
from coatcheck.table.due_index import DuePage
from tests.mutants.bugs import Bug, nothing, replaced
from worker import leftovers
from worker.sweep import deliveries, jobs, removals, rows, share, waking
from worker.sweep.pages import DuePages

BACKLOGS = "tests/simulation/test_backlogs.py"


def _no_page_follows(page: Any) -> Any:
    def first(self: Any, number: int, after: Any) -> Any:
        read = page(self, number, after)
        return None if read is None else DuePage(read.keys, None)

    return first


def _without_the_last(init: Any) -> Any:
    def made(self: Any, tools: Any, kind: Any, starts: Any, find: Any, **kwargs: Any) -> None:
        init(self, tools, kind, dict([*starts.items()][:-1]), find, **kwargs)

    return made


def _whatever_the_time() -> None:
    for module in (deliveries, removals):
        replaced(
            module, "in_time", lambda _: lambda tools, _u, action, row: rows.safely(partial(action, tools, row), "")
        )()
    replaced(waking, "_wake_in_time", lambda _: lambda tools, _until, batch: waking._wake(tools, batch))()


def _removed_at_one_go(_: Any) -> Any:
    def remove(tools: Any, prefix: str, wanted: Any) -> None:
        bucket = tools.deployment.bucket
        if keys := wanted(tools.aws.send(blobs.keys_under(bucket, prefix))):
            tools.aws.send(blobs.delete(bucket, keys))

    return remove


def _all_taken(sent: Any) -> Any:
    def taken(tools: Any, lane: str, messages: Any) -> set[int]:
        sent(tools, lane, messages)
        return set(messages)

    return taken


def _nothing_unread(get_jobs: Any) -> Any:
    def get(*args: Any, **kwargs: Any) -> Call[Any]:
        call = get_jobs(*args, **kwargs)
        return replace(call, read=lambda answer: replace(call.read(answer), unread=()))

    return get


def _always_the_first_part() -> None:
    part = share.Share.part

    def first(_: Any, index: int, parts: int, shards: int) -> Any:
        return replace(part(0, parts, shards), first=index == 0)

    setattr(share.Share, "part", classmethod(first))  # noqa: B010 - a bug is put in its place


BUGS = (
    Bug("of each shard one page is read", puts=replaced(DuePages, "_page", _no_page_follows), test=BACKLOGS),
    Bug(
        "each page is the first",
        puts=replaced(DuePages, "_page", lambda page: lambda self, number, _: page(self, number, None)),
        test=f"{BACKLOGS}::test_a_dead_worker_is_noticed_before_a_backlog_is_woken",
    ),
    Bug("the last shard is never read", puts=replaced(DuePages, "__init__", _without_the_last)),
    Bug("a sweep does not look at the time", puts=_whatever_the_time, test=BACKLOGS),
    Bug(
        "a page of messages goes before the next page is read",
        puts=replaced(jobs, "MOST_HELD", lambda _: 1),
        test=BACKLOGS,
    ),
    Bug("messages that wait are sent again", puts=replaced(waking, "_waiting", nothing(answer=0)), test=BACKLOGS),
    Bug(
        "what cannot be removed is tried again in each sweep",
        puts=replaced(removals, "AGAIN_AFTER", lambda _: 0),
        test=BACKLOGS,
    ),
    Bug(
        "what S3 has not deleted is taken to be deleted",
        puts=replaced(leftovers, "_remove", _removed_at_one_go),
        test=BACKLOGS,
    ),
    Bug("what SQS has not taken is taken to be sent", puts=replaced(waking, "_sent", _all_taken), test=BACKLOGS),
    Bug(
        "rows that DynamoDB has not read are forgotten", puts=replaced(rows, "get_jobs", _nothing_unread), test=BACKLOGS
    ),
    Bug("sweepers that share the work do the same part", puts=_always_the_first_part, test=BACKLOGS),
)
