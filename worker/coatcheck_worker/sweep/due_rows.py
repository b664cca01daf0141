"""Read the rows that an index names, and process each with an action that may fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.job_items import get_jobs
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep.due_pages import DuePages

log = logging.getLogger(__name__)

FAILED = "failed"

MAX_READS = 3
"""How often a batch is read whose rows DynamoDB does not all return; the next sweep reads the rest."""


def due_rows(dependencies: Dependencies, pages: DuePages[JobKey]) -> Iterator[Sequence[Job]]:
    """The jobs of each page as they are now, without those that are gone or of newer versions."""
    for keys in pages:
        try:
            jobs = _read(dependencies, pages, keys)
        except AwsError as error:
            pages.skip(f"a page of {len(keys)} jobs", error, len(keys))
        else:
            yield jobs


def _read(dependencies: Dependencies, pages: DuePages[JobKey], keys: Sequence[JobKey]) -> Sequence[Job]:
    jobs: list[Job] = []
    unprocessed = keys
    for _ in range(MAX_READS):
        if not unprocessed:
            break
        batch = dependencies.transport.send(get_jobs(dependencies.settings.table, unprocessed, consistent=True))
        jobs += batch.jobs
        pages.newer += batch.newer
        pages.left += len(batch.broken)
        for key in batch.broken:
            log.error("the row of %s cannot be read, and is left as it is", key)
        unprocessed = batch.unprocessed
    pages.left += len(unprocessed)
    return jobs


def in_time(dependencies: Dependencies, until: int, action: Callable[[Dependencies, Any], str], row: Any) -> str:
    """What the action returns, "failed", or "left" when the time `until` has come."""
    if dependencies.clock() >= until:
        return "left"
    return safely(partial(action, dependencies, row), row.id)


def safely(action: Callable[[], str], what: str) -> str:
    """What the action returns, or "failed": a row that fails does not stop the others."""
    try:
        return action()
    except NewerRow:
        return "newer"
    except AwsError as error:
        log.warning("sweep of %s: %s", what, error)
    except Exception:
        log.exception("sweep of %s", what)
    return FAILED
