"""The settings of one deployment. They are read once from the environment, at the edge, and passed down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError, model_validator

from coatcheck.core.clock import SECOND
from coatcheck.core.messages import Tenant
from coatcheck.core.shards import MAX_SHARDS, SHARDS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "COATCHECK_"

WEBHOOKS = "webhooks"
"""The lane of deliveries: no job type can have it."""

Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BadSettings(Exception):
    """An environment variable is missing or malformed. The message is one line and says which."""


class Settings(BaseModel):
    """The settings of a deployment: each field is the environment variable `COATCHECK_<FIELD>`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(min_length=1, description="name of the DynamoDB table")
    bucket: str = Field(min_length=1, description="name of the S3 bucket")
    jobs: str = Field(
        default="",
        pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*(,[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)*)?$",
        description="the modules with the job types, with commas between them",
    )
    queues: Json[dict[str, str]] = Field(description="JSON object: lane to queue URL")
    dead_letters: Json[dict[str, str]] = Field(description="JSON object: lane to the URL of its dead-letter queue")
    webhook_key: str = Field(
        min_length=1, description="name or ARN of the secret in Secrets Manager that the webhooks' own are derived from"
    )
    webhook_targets: Literal["public", "local"] = Field(
        default="public", description="where webhooks may go: public addresses over https, or this machine too"
    )
    webhook_refused: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9.,-]*$",
        description="hosts that no webhook may go to besides that of the public URL, with commas between them",
    )
    api_keys: Json[dict[Sha256Hex, Tenant]] = Field(
        default_factory=dict, description="JSON object: hex sha256 of an API key to its tenant"
    )
    authorizer: Literal["off", "on"] = Field(
        default="off", description="whether an authorizer of API Gateway has checked the credentials of each request"
    )
    origin_secret: str = Field(
        default="", description="name or ARN of the secret that CloudFront sends with each request; empty without one"
    )
    service_proxy: Literal["off", "on"] = Field(
        default="off", description="whether API Gateway makes jobs by itself; the ids of jobs hold their keys then"
    )
    public_url: str = Field(
        default="", pattern=r"^(https?://.*[^/])?$", description="what clients reach the API by, without /v1"
    )
    cors_origins: str = Field(
        default="",
        pattern=r"^(\*|https?://[A-Za-z0-9.:\[\]-]+(,https?://[A-Za-z0-9.:\[\]-]+)*)?$",
        description="origins whose pages may call the API, with commas between them; * for all, empty for none",
    )
    default_retention: int = Field(default=7 * 86_400, ge=60, description="seconds a job is kept if it does not say")
    max_retention: int = Field(default=30 * 86_400, ge=60, description="the most seconds a job may ask to be kept")
    upload_gb_per_day: int = Field(
        default=2048, ge=1, le=10**6, description="GB (1024 MB) of uploads that a tenant may announce in a day (UTC)"
    )
    max_json_bytes: int = Field(
        default=1024**2,
        ge=64 * 1024,
        le=10 * 1024**2,
        description="bytes of JSON that a request may carry; the front door may carry less",
    )
    longest_wait: int = Field(
        default=25, ge=0, le=25, description="seconds that a request may wait for its job; 0 for no waiting"
    )
    max_waits: int = Field(
        default=100, ge=0, description="requests that may wait for their jobs in one process; half of them one tenant's"
    )
    waits_per_minute: int = Field(
        default=0, ge=0, description="requests of all tenants that may wait for their jobs in a minute; 0 for no limit"
    )
    longest_stream: int = Field(
        default=60, ge=1, le=3600, description="seconds after which a stream of events ends, and its client resumes it"
    )
    max_streams: int = Field(
        default=1000, ge=0, description="streams of events open in one process; half of them one tenant's; 0 for none"
    )
    lease: int = Field(default=60, ge=3, le=600, description="seconds after which a silent worker is given up")
    due_shards: int = Field(
        default=SHARDS, ge=1, le=MAX_SHARDS, description="partitions of each kind in the index of what is due"
    )
    secrets: Json[dict[str, str]] | None = Field(
        default=None,
        description="JSON object: the name that a handler gives to the name of a secret in Secrets Manager; without it "
        "each secret is an environment variable",
    )
    handler_role: str | None = Field(
        default=None, description="ARN of the role whose credentials handlers get; without it they get none"
    )
    metrics: Literal["off", "emf"] = Field(
        default="off", description="whether lines in the embedded metric format, for CloudWatch, are written to stdout"
    )
    metrics_namespace: str = Field(
        default="Coatcheck",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.#-]{0,254}$",
        description="the namespace of the metrics in CloudWatch",
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="port on which Prometheus is told the metrics; 0 for none"
    )
    metrics_tenants: Literal["off", "on"] = Field(
        default="off", description="whether there are metrics of each tenant: as many as there are tenants"
    )
    log: str = Field(default="text", pattern=r"^(text|json)$", description="how log lines look")

    @property
    def lease_ms(self) -> int:
        """The lease in milliseconds."""
        return self.lease * SECOND

    @property
    def job_modules(self) -> list[str]:
        """The modules with the job types. Raises BadSettings if there are none: nothing could be served."""
        if not self.jobs:
            raise BadSettings(f"settings: {PREFIX}JOBS: name the modules with the job types, as jobs.words,jobs.images")
        return self.jobs.split(",")

    @property
    def browser_origins(self) -> list[str]:
        """The origins whose pages may call the API."""
        return [origin for origin in self.cors_origins.split(",") if origin]

    @property
    def refused_hosts(self) -> list[str]:
        """The hosts that no webhook may go to, whatever other names the service has."""
        return [host for host in self.webhook_refused.split(",") if host]

    @property
    def lanes(self) -> list[str]:
        """The lanes of jobs."""
        return sorted(self.queues.keys() - {WEBHOOKS})

    def dead_letter_queue_for(self, queue_url: str) -> str:
        """The dead-letter queue of the lane whose queue this is."""
        return self.dead_letters[self.lane_of(queue_url)]

    def lane_of(self, queue_url: str) -> str:
        """The lane whose queue this is."""
        return next(lane for lane, url in self.queues.items() if url == queue_url)

    @model_validator(mode="after")
    def _same_lanes(self) -> Self:
        if WEBHOOKS not in self.queues:
            raise ValueError(f"{PREFIX}QUEUES must name a queue for {WEBHOOKS}, beside those of the lanes of jobs")
        if self.queues.keys() != self.dead_letters.keys():
            lanes = ", ".join(sorted(self.queues))
            raise ValueError(f"{PREFIX}DEAD_LETTERS must name a queue for each lane of {PREFIX}QUEUES: {lanes}")
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings in `environ`. Raises BadSettings, which names each variable that is wrong."""
        known = {f"{PREFIX}{name.upper()}": name for name in cls.model_fields}
        given: dict[str, Any] = {name: environ[var] for var, name in known.items() if environ.get(var)}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise BadSettings(f"settings: {'; '.join(map(_described, error.errors()))}") from None


def _described(error: ErrorDetails) -> str:
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {error['msg'].lower()}"
