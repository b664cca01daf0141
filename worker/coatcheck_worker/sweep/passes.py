"""One sweep: a pass over each kind of shard, the most urgent first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.dynamodb.due_index import due_jobs
from coatcheck.core.aws.dynamodb.webhook_items import due_deliveries
from coatcheck.core.shards import ShardKind
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep import dead_letters, deliveries, jobs, removals
from coatcheck_worker.sweep.due_pages import DuePages
from coatcheck_worker.sweep.due_rows import FAILED
from coatcheck_worker.sweep.shard_assignment import Delegate, ShardAssignment

log = logging.getLogger(__name__)

SWEEP_THREADS = 16
"""Rows that one sweeper attends to side by side: enough for the whole of a CPU, where AWS takes 5 ms a request."""

LEFT = "left"
"""What a sweep counts that it had no time for, or could not read: the next one finds it."""

UNDONE = (LEFT, FAILED, removals.NOT_REMOVED)
"""What counts as left in the line that the metric is made from."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What is done with the shards of a kind: until which parts of a sweep's time it reads, and ends.

    However much is due of the kinds before it, each has some time, and however long reading takes, so has the rest.
    """

    kind: ShardKind
    find: Callable[..., Any]
    process_due: Callable[..., Counter[str]]
    reads: float
    ends: float


PASSES: Sequence[Pass] = (
    Pass(ShardKind.DUE, due_jobs, jobs.process_due, 0.4, 0.7),
    Pass(ShardKind.DELIVERY, due_deliveries, deliveries.process_due, 0.85, 0.85),
    Pass(ShardKind.REMOVAL, due_jobs, removals.process_due, 0.95, 0.95),
)


def sweep(
    dependencies: Dependencies,
    *,
    until: int,
    assignment: ShardAssignment | None = None,
    delegate: Delegate | None = None,
) -> Counter[str]:
    """Attend to what is overdue in a share, the whole by default, until the time `until` at the latest.

    Counts what was done, by name, and under "left" what was not. With `delegate`, other sweepers are given what is
    too much for one. Where one pass fails, the others are made all the same; raises what it failed on then.
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
            # a lost worker waits for nobody, not even for one who was asked to help
            keep_reading=one.kind is ShardKind.DUE,
        )
        try:
            done += one.process_due(dependencies, pages, until=ends, fraction=len(cursors) / assignment.shard_count)
        except Exception as error:
            # every promise rests on the sweeper: whatever a pass fails on, the others are made
            log.exception("the pass over what is %s is not whole", one.kind)
            failed = error
            done[LEFT] += 1
        failed = pages.failed or failed
        done[LEFT] += pages.left
        done["newer"] += pages.newer
        if pages.delegated:
            # so many are asked to help in one sweep, whatever there is too much of
            delegate = None
    if assignment.first:
        try:
            done += dead_letters.scan(dependencies, until=until)
        except Exception as error:
            log.exception("the look at the dead letters is not whole")
            failed = error
    done = +done
    _log_summary(done)
    if failed is not None:
        raise failed
    return done


def _log_summary(done: Counter[str]) -> None:
    """The line that the metrics of the sweeper are made from; there is none of a sweep that found nothing."""
    if not done:
        return
    what = ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
    left = sum(done[name] for name in UNDONE)
    log.info("swept: %s", what, extra={"swept": sum(done.values()) - left, LEFT: left})
