"""Jobs of all tenants, as operators list and find them. Each request reads a bounded number of pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.admin_models import AdminJobDetail, AdminJobView, TenantView
from coatcheck.core.api.base_models import Moment
from coatcheck.core.api.models import Listing
from coatcheck.core.aws.dynamodb.job_items import JobListEntry, JobPage, list_jobs, next_tenant
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.ids import TENANT_PATTERN
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_service.actions.admin_views import admin_job_detail, admin_job_view
from coatcheck_service.actions.list_jobs import BATCH_SIZE, read_rows
from coatcheck_service.http.cursors import MAX_LENGTH, seal, unseal
from coatcheck_service.http.operators import OperatorContext
from coatcheck_service.job_history import events_after

MAX_PAGES = 20
"""Pages of the index that one request reads, and tenants that it passes. What is left is behind the cursor."""


class TenantQuery(BaseModel):
    """Which tenants to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=25, ge=1, le=100, description="tenants on a page, at most")
    after: str | None = Field(default=None, max_length=MAX_LENGTH, description="`next` of the page before")


class AdminJobQuery(BaseModel):
    """Which jobs of which tenants to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str | None = Field(default=None, pattern=TENANT_PATTERN, description="only this tenant's")
    status: Status | None = Field(default=None, description="only jobs with this status")
    type: str | None = Field(default=None, max_length=64, description="only jobs of this type")
    created_after: Moment | None = Field(default=None, description="only jobs made later than this")
    created_before: Moment | None = Field(default=None, description="only jobs made earlier than this")
    limit: int = Field(default=25, ge=1, le=100, description="jobs on a page, at most")
    after: str | None = Field(default=None, max_length=MAX_LENGTH, description="`next` of the page before")

    def matches(self, job: Job) -> bool:
        """Whether the job passes the filters that the index cannot apply."""
        return self.status in {None, job.status} and self.type in {None, job.type}

    @property
    def first(self) -> int:
        """The first millisecond of the requested range."""
        return 0 if self.created_after is None else self.created_after + 1

    @property
    def last(self) -> int:
        """The last millisecond of the requested range."""
        return 10**13 - 1 if self.created_before is None else self.created_before - 1

    @property
    def list_name(self) -> str:
        """The list with its filters, which its cursors belong to."""
        return f"admin_list_jobs {self.model_dump_json(exclude={'limit', 'after'})}"


class TenantPlace(BaseModel):
    """Behind a tenant."""

    tenant: str


class JobPlace(BaseModel):
    """Behind a job of a tenant, or before the first of them if it names none. Without a tenant: before the first."""

    tenant: str | None = None
    id: str | None = None
    at: int = 0

    @property
    def entry(self) -> JobListEntry | None:
        """The entry of the index behind which the tenant's jobs go on."""
        return JobListEntry(JobKey(self.tenant, self.id), self.at) if self.tenant and self.id else None


async def list_tenants(context: OperatorContext, query: TenantQuery) -> Listing[TenantView]:
    """Return one page of the tenants of which jobs are kept, in the order of the index. Raises InvalidRequest."""
    dependencies, key = context.dependencies, context.key.digest
    place = None if query.after is None else unseal(query.after, TenantPlace, of="admin_list_tenants", key=key)
    tenant, found = place.tenant if place else None, list[TenantView]()
    while len(found) < query.limit:
        tenant = await dependencies.transport.send(next_tenant(dependencies.table, tenant))
        if tenant is None:
            return Listing(data=found, next=None)
        found.append(TenantView(tenant=tenant))
    cursor = seal(TenantPlace(tenant=found[-1].tenant), of="admin_list_tenants", key=key)
    return Listing(data=found, next=cursor)


async def list_all_jobs(context: OperatorContext, query: AdminJobQuery) -> Listing[AdminJobView]:
    """Return one page of jobs: tenant by tenant, the newest of each first. Raises InvalidRequest for a wrong cursor."""
    walk = await _Walk.begun(context, query)
    for _ in range(MAX_PAGES):
        if walk.is_full or not await walk.step():
            break
    cursor = None if walk.is_over else seal(walk.place, of=query.list_name, key=context.key.digest)
    return Listing(data=[admin_job_view(job, context.base_url) for job in walk.found], next=cursor)


@dataclass
class _Walk:
    """A walk through the jobs of one tenant, or of all."""

    context: OperatorContext
    query: AdminJobQuery
    place: JobPlace
    found: list[Job] = field(default_factory=list)
    is_over: bool = False

    @classmethod
    async def begun(cls, context: OperatorContext, query: AdminJobQuery) -> Self:
        if query.after is not None:
            place = unseal(query.after, JobPlace, of=query.list_name, key=context.key.digest)
            return cls(context, query, place)
        walk = cls(context, query, JobPlace(), is_over=query.first > query.last)
        if not walk.is_over:
            await walk._go_to_next_tenant()
        return walk

    @property
    def is_full(self) -> bool:
        return len(self.found) == self.query.limit

    async def step(self) -> bool:
        """Read one more page of the index and its rows; returns whether there may be more behind it."""
        if self.is_over or self.place.tenant is None:
            return False
        page = await self._page(self.place.tenant)
        rows = await read_rows(self.context.of_tenant(self.place.tenant), page.entries)
        now = self.context.dependencies.clock()
        for entry in page.entries:
            self.place = JobPlace(tenant=entry.key.tenant, id=entry.key.id, at=entry.created_at)
            job = rows.get(entry.key.id)
            if job is not None and not job.gone(now) and self.query.matches(job):
                self.found.append(job)
            if self.is_full:
                return True
        if not page.more:
            await self._go_to_next_tenant()
        return not self.is_over

    async def _page(self, tenant: str) -> JobPage:
        dependencies, query = self.context.dependencies, self.query
        filtered = query.status is not None or query.type is not None
        call = list_jobs(
            dependencies.table,
            tenant,
            limit=BATCH_SIZE if filtered else query.limit - len(self.found),
            after=self.place.entry,
            created_from=query.first,
            created_until=query.last,
        )
        return await dependencies.transport.send(call)

    async def _go_to_next_tenant(self) -> None:
        """Go on with the tenant after this one, if all are asked for and there is another."""
        if self.query.tenant is not None:
            following = None if self.place.tenant else self.query.tenant
        else:
            dependencies = self.context.dependencies
            following = await dependencies.transport.send(next_tenant(dependencies.table, self.place.tenant))
        self.place, self.is_over = JobPlace(tenant=following), following is None


async def job_detail(context: OperatorContext, job: Job) -> AdminJobDetail:
    """Return a job with its whole history."""
    dependencies = context.dependencies
    events = [one async for one in events_after(dependencies.transport, dependencies.table, job, 0)]
    return admin_job_detail(job, events, context.base_url)
