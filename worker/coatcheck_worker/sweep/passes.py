"""One sweep: a pass over each kind of shard, the most urgent first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.dynamodb.due_index import due_jobs
from coatcheck.core.aws.dynamodb.slot_items import due_tenants
from coatcheck.core.aws.dynamodb.webhook_items import due_deliveries
from coatcheck.core.clock import SECOND
from coatcheck.core.metrics.definitions import SWEEP_LEFT, SWEEP_ROWS, SWEEP_TIME, SWEEP_TIME_USED
from coatcheck.core.metrics.recorder import record
from coatcheck.core.shards import ShardKind
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep import dead_letters, deliveries, jobs, parked, removals
from coatcheck_worker.sweep.due_pages import DuePages
from coatcheck_worker.sweep.due_rows import FAILED
from coatcheck_worker.sweep.shard_assignment import Delegate, ShardAssignment

log = logging.getLogger(__name__)

SWEEP_THREADS = 16
"""Rows that one sweeper processes in parallel: enough to use one CPU fully, if AWS takes 5 ms a request."""

LEFT = "left"
"""Name for what a sweep had no time for, or could not read: the next one finds it."""

UNDONE = (LEFT, FAILED, removals.NOT_REMOVED)
"""The names that count as left in the metric `SweepLeft`."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The pass over the shards of a kind, and the parts of a sweep's time at which its reading and the pass end.

    So each kind has some time, however much is due of the kinds before it, and processing has some, however long
    reading takes.
    """

    kind: ShardKind
    find: Callable[..., Any]
    process_due: Callable[..., Counter[str]]
    reads: float
    ends: float


PASSES: Sequence[Pass] = (
    Pass(ShardKind.DUE, due_jobs, jobs.process_due, 0.4, 0.7),
    Pass(ShardKind.TENANT, due_tenants, parked.process_due, 0.75, 0.78),
    Pass(ShardKind.DELIVERY, due_deliveries, deliveries.process_due, 0.88, 0.88),
    Pass(ShardKind.REMOVAL, due_jobs, removals.process_due, 0.95, 0.95),
)


def sweep(
    dependencies: Dependencies,
    *,
    until: int,
    assignment: ShardAssignment | None = None,
    delegate: Delegate | None = None,
) -> Counter[str]:
    """Process overdue rows of a shard assignment, all by default, until the time `until` at the latest.

    Counts what was done, by name, and under "left" what was not. With `delegate`, other sweepers get what is too much
    for one. If one pass fails, the others still run; then its error is raised.
    """
    assignment = assignment or ShardAssignment.whole(dependencies.settings.due_shards)
    done: Counter[str] = Counter()
    failed: Exception | None = None
    began = dependencies.clock()
    for one in PASSES:
        reads_until, ends = (began + int((until - began) * fraction) for fraction in (one.reads, one.ends))
        cursors = assignment.of_kind(one.kind)
        pages = DuePages(
            dependencies,
            one.kind,
            cursors,
            one.find,
            until=reads_until,
            delegate=delegate,
            # recovery of a lost worker's job must not wait, not even for a sweeper that was asked to help
            keep_reading=one.kind is ShardKind.DUE,
        )
        try:
            done += one.process_due(dependencies, pages, until=ends, fraction=len(cursors) / assignment.shard_count)
        except Exception as error:
            # every promise depends on the sweeper: whatever a pass fails on, the others run
            log.exception("the pass over what is %s is not whole", one.kind)
            failed = error
            done[LEFT] += 1
        failed = pages.failed or failed
        done[LEFT] += pages.left
        done["newer"] += pages.newer
        if pages.delegated:
            # delegate once in a sweep, whatever there is too much of
            delegate = None
    if assignment.first:
        try:
            done += dead_letters.scan(dependencies, until=until)
        except Exception as error:
            log.exception("the look at the dead letters is not whole")
            failed = error
    done = +done
    _log_summary(done)
    _count(done, took=dependencies.clock() - began, allowed=until - began)
    if failed is not None:
        raise failed
    return done


def _log_summary(done: Counter[str]) -> None:
    """Write what was done in one line; a sweep that found nothing writes none."""
    if not done:
        return
    what = ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
    left = _left(done)
    log.info("swept: %s", what, extra={"swept": sum(done.values()) - left, LEFT: left})


def _left(done: Counter[str]) -> int:
    return sum(done[name] for name in UNDONE)


def _count(done: Counter[str], *, took: int, allowed: int) -> None:
    """Record the metrics of a sweep, also of one that found nothing: that it left nothing is news to an alarm."""
    left = _left(done)
    record(SWEEP_ROWS, sum(done.values()) - left)
    record(SWEEP_LEFT, left)
    record(SWEEP_TIME, took / SECOND)
    record(SWEEP_TIME_USED, 100 * took / max(allowed, 1))
