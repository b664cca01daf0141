"""Jobs that the sweeper should have looked at by now: read from the index of what is due, a bounded part a request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.admin_models import StuckJobView, StuckReason
from coatcheck.core.api.models import Listing
from coatcheck.core.aws.dynamodb.due_index import due_jobs
from coatcheck.core.aws.dynamodb.job_items import get_job
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck.core.shards import ShardKind
from coatcheck.core.webhooks import pending_events
from coatcheck_service.actions.admin_views import stuck_job_view
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
    """Behind a job of a shard of the index, or before the first of them."""

    shard: int = 0
    tenant: str = ""
    id: str = ""
    due_at: int = 0

    def entry(self, shard: str) -> Item | None:
        """The entry of the index behind which the shard goes on."""
        if not self.id:
            return None
        keys: Item = {"due_shard": {"S": shard}, "due_at": {"N": str(self.due_at)}}
        return JobKey(self.tenant, self.id).item() | keys


async def list_stuck_jobs(context: OperatorContext, query: StuckQuery) -> Listing[StuckJobView]:
    """Return one page of stuck jobs, shard by shard, the longest overdue of each first. Raises InvalidRequest."""
    dependencies, now = context.dependencies, context.dependencies.clock()
    place = StuckPlace()
    if query.after is not None:
        place = unseal(query.after, StuckPlace, of=query.list_name, key=context.key.digest)
    found: list[StuckJobView] = []
    until = now - query.overdue * SECOND
    for _ in range(MAX_PAGES):
        if place.shard >= dependencies.settings.due_shards:
            return Listing(data=found, next=None)
        if len(found) == query.limit:
            break
        shard = ShardKind.DUE.shard(place.shard)
        call = due_jobs(dependencies.table, shard, now=until, limit=query.limit - len(found), after=place.entry(shard))
        page = await dependencies.transport.send(call)
        for key in page.keys:
            job = await dependencies.transport.send(get_job(dependencies.table, key))
            if job is not None and (reason := reason_of(job, now=now, until=until)):
                found.append(stuck_job_view(job, reason, now, context.base_url))
        place = _behind(place, page.next)
    return Listing(data=found, next=seal(place, of=query.list_name, key=context.key.digest))


def reason_of(job: Job, *, now: int, until: int) -> StuckReason | None:
    """Why a job whose entry was due until then is stuck; None if it is no longer due, or only has to be removed."""
    if job.due_at is None or job.due_at > until:
        return None
    if job.status.waiting:
        return "not-started"
    if job.status.active:
        return "lease-expired" if job.lease_until is not None and job.lease_until < now else None
    return "not-notified" if pending_events(job) else None


def _behind(place: StuckPlace, last: Item | None) -> StuckPlace:
    if last is None:
        return StuckPlace(shard=place.shard + 1)
    key = JobKey.of(last)
    return StuckPlace(shard=place.shard, tenant=key.tenant, id=key.id, due_at=int(last["due_at"]["N"]))
