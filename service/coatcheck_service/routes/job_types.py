"""Job types: what this deployment does."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from coatcheck.authoring.loading import RESERVED_PREFIX
from coatcheck.authoring.types import JobType
from coatcheck.core.api.models import JobTypeView, Limits, Listing
from coatcheck.core.errors import InvalidRequest, NotFound
from coatcheck.core.suggestions import unknown
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.openapi import problem_docs
from coatcheck_service.http.page_size import PageBudget

router = APIRouter(prefix="/v1/job-types", tags=["job types"])


class JobTypeQuery(BaseModel):
    """Which job types to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: str | None = Field(default=None, max_length=200, description="`next` of the page before")


@router.get("", operation_id="list_job_types", responses=problem_docs(InvalidRequest))
async def get_job_types(context: Authenticated, query: Annotated[JobTypeQuery, Query()]) -> Listing[JobTypeView]:
    """List the job types by name, as many on a page as one answer can carry."""
    catalog, budget, views = context.dependencies.catalog, PageBudget(context.front_door), list[JobTypeView]()
    for name in sorted(catalog):
        if name.startswith(RESERVED_PREFIX) or name <= (query.after or ""):
            continue
        view = job_type_view(catalog[name])
        if not budget.fits(view):
            return Listing(data=views, next=views[-1].name)
        views.append(view)
    return Listing(data=views, next=None)


@router.get("/{name}", operation_id="get_job_type", responses=problem_docs(NotFound))
async def get_job_type(context: Authenticated, name: str) -> JobTypeView:
    """What one job type takes, gives and allows."""
    job_type = context.dependencies.catalog.get(name)
    if job_type is None:
        raise NotFound(unknown("job type", name, context.dependencies.catalog, see="see /v1/job-types"))
    return job_type_view(job_type)


def job_type_view(job_type: JobType[Any, Any]) -> JobTypeView:
    """A job type as clients see it."""
    gives_json = issubclass(job_type.output, BaseModel)
    return JobTypeView(
        name=job_type.name,
        title=job_type.title,
        description=job_type.description,
        lane=job_type.lane,
        input_schema=job_type.input.model_json_schema(),
        output_schema=job_type.output.model_json_schema(mode="serialization") if gives_json else None,
        limits=Limits(timeout=job_type.timeout, max_attempts=job_type.max_attempts),
    )
