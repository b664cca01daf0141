"""Reading the rows that an index names, and doing something with each that may fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from coatcheck.calls import AwsError
from coatcheck.record import Job
from coatcheck.table.items import get_jobs
from coatcheck.table.keys import JobKey
from coatcheck.table.unknown import NewerRow
from worker.sweep.pages import DuePages
from worker.tools import Tools

log = logging.getLogger(__name__)

FAILED = "failed"

ROUNDS = 3
"""How often a batch is asked for whose rows DynamoDB does not all give; what is then left, the next sweep reads."""


def due_rows(tools: Tools, pages: DuePages[JobKey]) -> Iterator[Sequence[Job]]:
    """The jobs of each page as they are now, but for those gone and those of newer versions."""
    for keys in pages:
        try:
            jobs = _read(tools, pages, keys)
        except AwsError as error:
            pages.leave_out(f"a page of {len(keys)} jobs", error, len(keys))
        else:
            yield jobs


def _read(tools: Tools, pages: DuePages[JobKey], keys: Sequence[JobKey]) -> Sequence[Job]:
    jobs: list[Job] = []
    unread = keys
    for _ in range(ROUNDS):
        if not unread:
            break
        batch = tools.aws.send(get_jobs(tools.deployment.table, unread, consistent=True))
        jobs += batch.jobs
        pages.newer += batch.newer
        pages.left += len(batch.broken)
        for key in batch.broken:
            log.error("the row of %s cannot be read, and is left as it is", key)
        unread = batch.unread
    pages.left += len(unread)
    return jobs


def in_time(tools: Tools, until: int, action: Callable[[Tools, Any], str], row: Any) -> str:
    """What the action says that it did with the row, "failed", or "left" when the time `until` has come."""
    if tools.clock() >= until:
        return "left"
    return safely(partial(action, tools, row), row.id)


def safely(action: Callable[[], str], what: str) -> str:
    """What the action says that it did, or "failed": one row that cannot be helped keeps none from it."""
    try:
        return action()
    except NewerRow:
        return "newer"
    except AwsError as error:
        log.warning("sweep of %s: %s", what, error)
    except Exception:
        log.exception("sweep of %s", what)
    return FAILED
