"""The pass over tenants that have parked jobs: jobs whose time is up expire, and others are woken if slots are free."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from functools import partial

from coatcheck.core.aws.dynamodb.due_index import due_jobs
from coatcheck.core.aws.dynamodb.job_items import get_jobs
from coatcheck.core.aws.dynamodb.slot_items import end_visits, get_slots, plan_visit
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.slots import wake_parked
from coatcheck.core.slots import Group
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep import recovery
from coatcheck_worker.sweep.due_pages import PAGE_SIZE, DuePages
from coatcheck_worker.sweep.due_rows import in_time, safely

log = logging.getLogger(__name__)

WOKEN_AT_ONCE = 100
"""Jobs woken between two looks at the time."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit of one tenant, until a time."""

    tenant: str
    until: int

    @property
    def id(self) -> str:
        """What the log names it by."""
        return f"the parked jobs of {self.tenant}"


def process_due(
    dependencies: Dependencies,
    pages: DuePages[str],
    *,
    until: int,
    fraction: float,  # noqa: ARG001 - one signature for all passes
) -> Counter[str]:
    """Visit the tenants of the pages until the time `until`."""
    done: Counter[str] = Counter()
    for tenants in pages:
        visits = [Visit(tenant, until) for tenant in tenants]
        for counted in dependencies.parallel_map(partial(_visit_in_time, dependencies), visits):
            done += counted
    return done


def _visit_in_time(dependencies: Dependencies, visit: Visit) -> Counter[str]:
    done: Counter[str] = Counter()
    what = in_time(dependencies, visit.until, partial(_visit, done), visit)
    return done + Counter([what])


def _visit(done: Counter[str], dependencies: Dependencies, visit: Visit) -> str:
    table, tenant = dependencies.settings.table, visit.tenant
    counts = dependencies.transport.send(get_slots(table, tenant))
    if not counts.parked:
        dependencies.transport.send(end_visits(table, tenant))
        return "visited"
    for group in counts.parked:
        done.update(_expire(dependencies, tenant, group))
    woken = WOKEN_AT_ONCE
    while woken == WOKEN_AT_ONCE and dependencies.clock() < visit.until:
        wake = wake_parked(dependencies.settings, tenant, now=dependencies.clock(), most=WOKEN_AT_ONCE)
        woken = run(dependencies.transport, wake)
        done["woken"] += woken
    dependencies.transport.send(plan_visit(table, tenant, now=dependencies.clock()))
    return "visited"


def _expire(dependencies: Dependencies, tenant: str, group: Group) -> list[str]:
    """Expire up to a page of parked jobs of a group whose `queue_ttl` has passed: they are what is due there."""
    table, now = dependencies.settings.table, dependencies.clock()
    page = dependencies.transport.send(due_jobs(table, group.shard(tenant), now=now, limit=PAGE_SIZE))
    if not page.keys:
        return []
    jobs = dependencies.transport.send(get_jobs(table, page.keys, consistent=True)).jobs
    return [
        safely(partial(recovery.expire, dependencies, job), job.id)
        for job in jobs
        if job.status.waiting and job.queue_ttl_passed(now)
    ]
