"""Jobs that the sweeper should have looked at by now: read from the index of what is due, a bounded part a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.admin_models import StuckJobView, StuckReason
from coatcheck.core.api.models import Listing
from coatcheck.core.aws.dynamodb.due_index import due_jobs, due_page
from coatcheck.core.aws.dynamodb.job_items import get_job
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.aws.dynamodb.slot_items import get_slots, slots_key
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck.core.shards import SHARDS, ShardKind
from coatcheck.core.slots import LAST_PARKED
from coatcheck.core.webhooks import pending_events
from coatcheck_service.actions.admin_views import stuck_job_view
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.cursors import MAX_LENGTH, seal, unseal
from coatcheck_service.http.operators import OperatorContext

MAX_PAGES = 32
"""Pages of the index that one request reads: all shards of most deployments, if little is stuck."""


class StuckQuery(BaseModel):
    """Which jobs count as stuck."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overdue: int = Field(
        default=300, ge=60, le=86_400, description="seconds by which the sweeper is late; it comes each minute"
    )
    limit: int = Field(default=25, ge=1, le=100, description="jobs on a page, at most")
    after: str | None = Field(default=None, max_length=MAX_LENGTH, description="`next` of the page before")

    @property
    def list_name(self) -> str:
        """The list with its filter, which its cursors belong to."""
        return f"admin_list_stuck_jobs {self.overdue}"


class StuckPlace(BaseModel):
    """Behind an entry of a shard of the index, or before the first of them. `shard` counts through `_shards`."""

    shard: int = 0
    tenant: str = ""
    id: str = ""
    due_at: int = 0

    def entry(self, kind: ShardKind, shard: str) -> Item | None:
        """The entry of the index behind which the shard goes on."""
        if not self.id:
            return None
        keys: Item = {"due_shard": {"S": shard}, "due_at": {"N": str(self.due_at)}}
        row = slots_key(self.tenant) if kind is ShardKind.TENANT else JobKey(self.tenant, self.id).item()
        return row | keys


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job, why it is stuck, and when the sweeper should have come, in milliseconds."""

    job: Job
    reason: StuckReason
    since: int


async def list_stuck_jobs(context: OperatorContext, query: StuckQuery) -> Listing[StuckJobView]:
    """Return one page of stuck jobs, shard by shard, the longest overdue of each first. Raises InvalidRequest."""
    dependencies, now = context.dependencies, context.dependencies.clock()
    place = StuckPlace()
    if query.after is not None:
        place = unseal(query.after, StuckPlace, of=query.list_name, key=context.key.digest)
    found: list[StuckJob] = []
    until = now - query.overdue * SECOND
    shards = _shards(dependencies.settings.due_shards)
    for _ in range(MAX_PAGES):
        if place.shard >= len(shards):
            return Listing(data=_views(context, found, now), next=None)
        if len(found) == query.limit:
            break
        kind, shard = shards[place.shard]
        after, limit = place.entry(kind, shard), query.limit - len(found)
        call = due_page(dependencies.table, shard, _Entry.of, now=until, limit=limit, after=after)
        page = await dependencies.transport.send(call)
        read = [await _READ[kind](dependencies, entry, now=now, until=until) for entry in page.keys]
        found += filter(None, read)
        place = _behind(place, page.next)
    behind = seal(place, of=query.list_name, key=context.key.digest)
    return Listing(data=_views(context, found, now), next=behind)


def _views(context: OperatorContext, found: Sequence[StuckJob], now: int) -> list[StuckJobView]:
    return [stuck_job_view(one.job, one.reason, now - one.since, context.base_url) for one in found]


def _shards(due_shards: int) -> list[tuple[ShardKind, str]]:
    """The partitions of the index that are read: those of jobs, and those of tenants with parked jobs."""
    counts = {ShardKind.DUE: due_shards, ShardKind.TENANT: SHARDS}
    return [(kind, kind.shard(number)) for kind, count in counts.items() for number in range(count)]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: JobKey
    due_at: int

    @classmethod
    def of(cls, item: Item) -> _Entry:
        return cls(JobKey.of(item), int(item["due_at"]["N"]))


async def _job_of(dependencies: Dependencies, entry: _Entry, *, now: int, until: int) -> StuckJob | None:
    job = await dependencies.transport.send(get_job(dependencies.table, entry.key))
    reason = None if job is None else reason_of(job, now=now, until=until)
    return None if job is None or reason is None else StuckJob(job, reason, job.due_at or now)


def reason_of(job: Job, *, now: int, until: int) -> StuckReason | None:
    """Why a job whose entry was due until then is stuck; None if it is no longer due, or only has to be removed."""
    if job.due_at is None or job.due_at > until:
        return None
    if job.status.waiting:
        return "not-started"
    if job.status.active:
        return "lease-expired" if job.lease_until is not None and job.lease_until < now else None
    return "not-notified" if pending_events(job) else None


async def _parked_job_of(dependencies: Dependencies, entry: _Entry, *, now: int, until: int) -> StuckJob | None:  # noqa: ARG001 - one signature for all kinds
    """A parked job of a tenant that the sweeper has not visited: it stands for all of them."""
    table, send, tenant = dependencies.table, dependencies.transport.send, entry.key.tenant
    for group in (await send(get_slots(table, tenant))).parked:
        page = await send(due_jobs(table, group.shard(tenant), now=LAST_PARKED, limit=1))
        for key in page.keys:
            job = await send(get_job(table, key))
            if job is not None and job.parked:
                return StuckJob(job, "not-woken", entry.due_at)
    return None


_READ = {ShardKind.DUE: _job_of, ShardKind.TENANT: _parked_job_of}


def _behind(place: StuckPlace, last: Item | None) -> StuckPlace:
    if last is None:
        return StuckPlace(shard=place.shard + 1)
    entry = _Entry.of(last)
    return StuckPlace(shard=place.shard, tenant=entry.key.tenant, id=entry.key.id, due_at=entry.due_at)
