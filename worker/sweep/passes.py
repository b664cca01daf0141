"""One sweep: a pass over each kind of shard, the most urgent first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.table.due_index import due_jobs
from coatcheck.table.keys import ShardKind
from coatcheck.table.webhooks import due_deliveries
from worker.sweep import dead_letters, deliveries, jobs, removals
from worker.sweep.pages import DuePages
from worker.sweep.rows import FAILED
from worker.sweep.share import HandOver, Share
from worker.tools import Tools

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
    attend: Callable[..., Counter[str]]
    reads: float
    ends: float


PASSES: Sequence[Pass] = (
    Pass(ShardKind.DUE, due_jobs, jobs.attend_to, 0.4, 0.7),
    Pass(ShardKind.DELIVERY, due_deliveries, deliveries.attend_to, 0.85, 0.85),
    Pass(ShardKind.REMOVAL, due_jobs, removals.attend_to, 0.95, 0.95),
)


def sweep(tools: Tools, *, until: int, share: Share | None = None, hand_over: HandOver | None = None) -> Counter[str]:
    """Attend to what is overdue in a share, the whole by default, until the time `until` at the latest.

    Counts what was done, by name, and under "left" what was not. With `hand_over`, other sweepers are given what is
    too much for one. Where one pass fails, the others are made all the same; raises what it failed on then.
    """
    share = share or Share.whole(tools.deployment.due_shards)
    done: Counter[str] = Counter()
    failed: Exception | None = None
    began = tools.clock()
    for one in PASSES:
        reads_until, ends = (began + int((until - began) * part) for part in (one.reads, one.ends))
        starts = share.of_kind(one.kind)
        pages = DuePages(
            tools,
            one.kind,
            starts,
            one.find,
            until=reads_until,
            hand_over=hand_over,
            # a lost worker waits for nobody, not even for one who was asked to help
            reads_on=one.kind is ShardKind.DUE,
        )
        try:
            done += one.attend(tools, pages, until=ends, part=len(starts) / share.of)
        except Exception as error:
            # every promise rests on the sweeper: whatever a pass fails on, the others are made
            log.exception("the pass over what is %s is not whole", one.kind)
            failed = error
            done[LEFT] += 1
        failed = pages.failed or failed
        done[LEFT] += pages.left
        done["newer"] += pages.newer
        if pages.handed:
            # so many are asked to help in one sweep, whatever there is too much of
            hand_over = None
    if share.first:
        try:
            done += dead_letters.look_through(tools, until=until)
        except Exception as error:
            log.exception("the look at the dead letters is not whole")
            failed = error
    done = +done
    _tell(done)
    if failed is not None:
        raise failed
    return done


def _tell(done: Counter[str]) -> None:
    """The line that the metrics of the sweeper are made from; there is none of a sweep that found nothing."""
    if not done:
        return
    what = ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
    left = sum(done[name] for name in UNDONE)
    log.info("swept: %s", what, extra={"swept": sum(done.values()) - left, LEFT: left})
