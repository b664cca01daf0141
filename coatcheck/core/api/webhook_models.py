"""The JSON of webhooks that clients send and see. `coatcheck.core.api.webhook_views` fills it in."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from coatcheck.core.api.base_models import RequestModel, ResponseModel, Timestamp
from coatcheck.core.ssrf import MAX_URL_LENGTH
from coatcheck.core.webhooks import EVENTS, STARTED, TEST_EVENT, DeliveryStatus


def _known(event: str) -> str:
    if event not in EVENTS:
        raise ValueError(f"must be one of the events {', '.join(EVENTS)}")
    return event


EventName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(EVENTS)})]

Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH, examples=["https://example.com/hook"])]
Events = Annotated[list[EventName], Field(min_length=1, max_length=len(EVENTS))]
Description = Annotated[str, Field(max_length=500)]


class JobWebhook(RequestModel):
    """Where to tell of one job."""

    url: Url = Field(description="called with a POST; https, a public address, port 443 or 8443")
    events: Events = Field(
        default_factory=lambda: [event for event in EVENTS if event != STARTED],
        description="what to tell of; by default, how the job ends",
    )


class EndpointRequest(RequestModel):
    """A new endpoint."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.com/hook"}]}
    )

    url: Url = Field(description="called with a POST; https, a public address, port 443 or 8443")
    events: Events = Field(default_factory=lambda: list(EVENTS), description="what to tell of; by default, everything")
    description: Description = Field(default="", description="for you; shown with the endpoint, otherwise unused")
    enabled: bool = Field(default=True, description="whether events go there")


class EndpointChange(RequestModel):
    """What to change of an endpoint; what is not named stays as it is."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    # the field needs a default, but it means nothing: only the fields sent are read, and no field accepts null
    url: Url = Field(default_factory=str, description="as in a new endpoint")
    events: Events = Field(default_factory=list, description="as in a new endpoint")
    description: Description = Field(default_factory=str, description="as in a new endpoint")
    enabled: bool = Field(default_factory=bool, description="true forgives what failed before")

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        return self.model_dump(exclude_unset=True)


class EndpointView(ResponseModel):
    """Where a tenant's events go."""

    id: str = Field(examples=["whe_0h2j4kq8c5v1m9d3s7n6p0r4t0"])
    url: str = Field(description="empty for `whe_jobs`, which stands for the URLs that jobs bring along")
    events: list[str]
    description: str
    enabled: bool
    disabled_reason: str | None
    created_at: Timestamp


class EndpointWithSecret(EndpointView):
    """An endpoint and, this once, its secret."""

    secret: str = Field(description="what its webhooks are signed by; shown now and not again", examples=["whsec_…"])


class AttemptView(ResponseModel):
    """One try to deliver."""

    at: Timestamp
    status_code: int | None = Field(description="what was answered; null when nothing was")
    error: str | None = Field(description="why there is no answer, or why it is none")
    latency_ms: int
    response: str | None = Field(description="the first KB of the answer's body")


class DeliveryView(ResponseModel):
    """One event on its way to one receiver."""

    id: str = Field(examples=["dlv_0h2j4kq8c5v1m9d3s7n6p0r4t0"])
    webhook_id: str = Field(description="the header of this name: the same in each attempt", examples=["evt_…"])
    endpoint: str = Field(description="an endpoint's id; `whe_jobs` for the URL that a job brought along")
    url: str
    event: str = Field(description=f"one of {', '.join((*EVENTS, TEST_EVENT))}")
    status: DeliveryStatus
    next_attempt_at: Timestamp | None = Field(description="null when there is none to come, or one under way")
    attempts: list[AttemptView] = Field(description="the last 50, the oldest first")
