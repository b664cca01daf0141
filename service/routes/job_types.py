"""Job types: what this deployment does."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from coatcheck.errors import NotFound
from coatcheck.types import JobType
from coatcheck.wire import JobTypeView, Limits, Listing
from service.caller import Authenticated
from service.documented import guarded

router = APIRouter(prefix="/v1/job-types", tags=["job types"])


@router.get("", operation_id="list_job_types", responses=guarded())
async def get_job_types(caller: Authenticated) -> Listing[JobTypeView]:
    """List the job types."""
    return Listing(data=[view_of(caller.tools.catalog[name]) for name in sorted(caller.tools.catalog)], next=None)


@router.get("/{name}", operation_id="get_job_type", responses=guarded(NotFound))
async def get_job_type(caller: Authenticated, name: str) -> JobTypeView:
    """What one job type takes, gives and allows."""
    job_type = caller.tools.catalog.get(name)
    if job_type is None:
        raise NotFound("There is no such job type.")
    return view_of(job_type)


def view_of(job_type: JobType[Any, Any]) -> JobTypeView:
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
