"""The JSON of a tenant's limits, as operators set and see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from coatcheck.core.api.base_models import RequestModel, ResponseModel
from coatcheck.core.priority import Priority
from coatcheck.core.tenant_limits import (
    MAX_BYTES,
    MAX_COUNT,
    MAX_RATE,
    MAX_TYPES,
    MAX_WAITS,
    MAX_WEBHOOK_ENDPOINTS,
    MAX_WEBHOOK_TESTS,
    MIN_RATE,
    TenantLimits,
)

Rate = Annotated[float, Field(ge=MIN_RATE, le=MAX_RATE, description="submits a second, on average")]
Burst = Annotated[int, Field(ge=1, le=MAX_COUNT, description="submits at once; without it, those of one second")]
JobsWaiting = Annotated[int, Field(ge=0, le=MAX_COUNT, description="jobs accepted and not started yet")]
JobsRunning = Annotated[int, Field(ge=0, le=MAX_COUNT, description="jobs that run at once")]
RunningByType = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[int, Field(ge=0, le=MAX_COUNT)]],
    Field(max_length=MAX_TYPES, description="jobs of a type that run at once, by the type's name"),
]
PriorityMax = Annotated[Priority, Field(strict=False, description="the highest priority that a submit may ask for")]
BytesStored = Annotated[
    int, Field(ge=0, le=MAX_BYTES, description="bytes of inputs, results and artifacts in the bucket")
]
UploadBytes = Annotated[
    int, Field(ge=0, le=MAX_BYTES, description="bytes of uploads announced in a day (UTC); null: the deployment's")
]
Endpoints = Annotated[int, Field(ge=0, le=MAX_WEBHOOK_ENDPOINTS, description="webhook endpoints; null: 50")]
Tests = Annotated[int, Field(ge=0, le=MAX_WEBHOOK_TESTS, description="test pings and resends in an hour; null: 100")]

Waits = Annotated[int, Field(ge=0, le=MAX_WAITS, description="requests that wait for their jobs, in a minute")]


class LimitsChange(RequestModel):
    """Limits of a tenant. Null means that the deployment's default holds, where it has one, and else no limit."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={"examples": [{"submit_rate": 10, "submit_burst": 100, "jobs_running": 5}]}
    )

    submit_rate: Rate | None = None
    submit_burst: Burst | None = None
    jobs_waiting: JobsWaiting | None = None
    jobs_running: JobsRunning | None = None
    jobs_running_by_type: RunningByType | None = None
    priority_max: PriorityMax | None = None
    bytes_stored: BytesStored | None = None
    upload_bytes_per_day: UploadBytes | None = None
    webhook_endpoints: Endpoints | None = None
    webhook_tests_per_hour: Tests | None = None
    waits_per_minute: Waits | None = None

    def changes(self) -> Mapping[str, Any]:
        """The limits that were named."""
        return self.model_dump(exclude_unset=True)

    def all_limits(self) -> Mapping[str, Any]:
        """All limits: those that were not named are none."""
        return self.model_dump()


class LimitsView(ResponseModel):
    """The limits of a tenant. Null: the deployment's default holds, where it has one, and else no limit."""

    tenant: str
    submit_rate: float | None
    submit_burst: int | None
    jobs_waiting: int | None
    jobs_running: int | None
    jobs_running_by_type: dict[str, int]
    priority_max: Priority | None
    bytes_stored: int | None
    upload_bytes_per_day: int | None
    webhook_endpoints: int | None
    webhook_tests_per_hour: int | None
    waits_per_minute: int | None


def limits_view(tenant: str, limits: TenantLimits) -> LimitsView:
    """The limits as an operator sees them."""
    shown = {name: getattr(limits, name) for name in LimitsView.model_fields if name != "tenant"}
    return LimitsView(tenant=tenant, **{**shown, "jobs_running_by_type": dict(limits.jobs_running_by_type)})
