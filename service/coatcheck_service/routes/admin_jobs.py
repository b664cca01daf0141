"""Operators: tenants, jobs of all tenants, and what is stuck."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from coatcheck.core.api.admin_models import AdminJobDetail, AdminJobView, StuckJobView, TenantView
from coatcheck.core.api.models import Listing
from coatcheck.core.errors import AlreadyFinished, Gone, InvalidRequest, NotFound
from coatcheck_service.actions.admin_jobs import (
    AdminJobQuery,
    TenantQuery,
    job_detail,
    list_all_jobs,
    list_tenants,
)
from coatcheck_service.actions.admin_views import admin_job_view
from coatcheck_service.actions.cancel import CANCELED_BY_OPERATOR, cancel
from coatcheck_service.actions.job_lookup import find_retained
from coatcheck_service.actions.stuck_jobs import StuckQuery, list_stuck_jobs
from coatcheck_service.http.openapi import problem_docs, response_doc
from coatcheck_service.http.operators import Operator, TenantName
from coatcheck_service.http.path_parameters import JobId

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.get("/tenants", operation_id="admin_list_tenants", responses=problem_docs(InvalidRequest))
async def get_tenants(context: Operator, query: Annotated[TenantQuery, Query()]) -> Listing[TenantView]:
    """List the tenants of which jobs are kept, in no order."""
    return await list_tenants(context, query)


@router.get("/jobs", operation_id="admin_list_jobs", responses=problem_docs(InvalidRequest))
async def get_jobs(context: Operator, query: Annotated[AdminJobQuery, Query()]) -> Listing[AdminJobView]:
    """List jobs of one tenant, the newest first, or of all, tenant by tenant.

    A page may be short, or empty, and still have a `next`: a request reads a bounded number of jobs.
    """
    return await list_all_jobs(context, query)


@router.get("/stuck-jobs", operation_id="admin_list_stuck_jobs", responses=problem_docs(InvalidRequest))
async def get_stuck_jobs(context: Operator, query: Annotated[StuckQuery, Query()]) -> Listing[StuckJobView]:
    """List jobs of all tenants that the sweeper should have looked at by now. A page may be short, as of jobs."""
    return await list_stuck_jobs(context, query)


@router.get(
    "/tenants/{tenant}/jobs/{job_id}",
    operation_id="admin_get_job",
    responses=problem_docs(InvalidRequest, NotFound, Gone),
)
async def get_job(context: Operator, tenant: TenantName, job_id: JobId) -> AdminJobDetail:
    """Look at a job of any tenant, with its history."""
    return await job_detail(context, await find_retained(context.of_tenant(tenant), job_id))


@router.post(
    "/tenants/{tenant}/jobs/{job_id}/cancel",
    operation_id="admin_cancel_job",
    responses=response_doc(200, "The job is canceled.", model=AdminJobView)
    | response_doc(202, "The worker has been told to stop.", model=AdminJobView)
    | problem_docs(InvalidRequest, NotFound, Gone, AlreadyFinished),
)
async def cancel_job(context: Operator, tenant: TenantName, job_id: JobId, response: Response) -> AdminJobView:
    """Stop a job of any tenant."""
    of_tenant = context.of_tenant(tenant)
    job = await cancel(of_tenant, await find_retained(of_tenant, job_id), reason=CANCELED_BY_OPERATOR)
    response.status_code = 200 if job.done else 202
    return admin_job_view(job, context.base_url)
