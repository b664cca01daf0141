"""The part of a job's history that its row has no room for: pages of a dozen events, each an item of its own."""

from __future__ import annotations

from collections.abc import Sequence

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.codec import decode_events, encode_events
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA, require_known
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import JobKey, history_page
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.job import Job, JobEvent

HISTORY_RETENTION = 400 * DAY
"""How long a page of history is kept, in milliseconds: longer than a job's longest wait and retention together."""

MAX_PAGES_PER_READ = 50
"""Pages of one read. Their events, even with errors of the greatest length, fit in an answer of any HTTP front end."""


def put_history_page(table: str, job: Job) -> Call[None]:
    """Move the row's history to an item of its own. Writing it twice writes the same.

    A page only grows: a writer that read the row earlier and writes later knows fewer events.
    """
    last = job.history_from + len(job.history) - 1
    e = Expression()
    unless = f"attribute_not_exists({e.name('pk')}) OR {e.name('last')} <= {e.number(last)}"
    e.assign("events", encode_events(job.history))
    e.assign("last", {"N": str(last)})
    e.assign("ttl", {"N": str((job.updated_at + HISTORY_RETENTION) // SECOND)})
    params = {
        "TableName": table,
        "Key": JobKey(job.tenant, job.id).item(history_page(job.created_at, job.history_from)),
        "ConditionExpression": f"attribute_not_exists({e.name(SCHEMA)}) AND ({unless})",
        **e.update(),
    }
    fuller = {"ConditionalCheckFailedException": lambda _: None}
    return Call("dynamodb", "UpdateItem", params, read=lambda _: None, expected_errors=fuller)


def earlier_events(table: str, job: Job, *, since: int = 1) -> Call[Sequence[JobEvent]]:
    """The events that are no longer in the row, oldest first, from number `since`, which begins a page.

    One read returns at most 50 pages; there may be more. `since` is less than the row's `history_from`.
    """
    e = Expression()
    first, last = (history_page(job.created_at, number) for number in (since, job.history_from - 1))
    pages = f"{e.name('sk')} BETWEEN {e.text(first)} AND {e.text(last)}"
    params = {
        "TableName": table,
        "KeyConditionExpression": f"{e.name('pk')} = {e.text(JobKey(job.tenant, job.id).partition)} AND {pages}",
        **e.placeholders(),
        "ConsistentRead": True,
        "Limit": MAX_PAGES_PER_READ,
    }
    return Call(
        "dynamodb",
        "Query",
        params,
        read=lambda response: [
            event for item in response["Items"] for event in decode_events(require_known(item)["events"])
        ],
    )
