"""What the client relies on in the server's documents: everything else in them is left unchanged.

A document is checked when it arrives, so that later code can rely on types. An id must be no more than an id: it is
printed for scripts, and into commands that people copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.ids import ANY_ID_PATTERN

Id = Annotated[str, Field(pattern=ANY_ID_PATTERN)]
Word = Annotated[str, Field(pattern=r"^[a-z_-]{1,64}$")]
Size = Annotated[int, Field(ge=0, le=1 << 62)]
Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=16_384)]
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t -~]*$")]
Problem = dict[str, Any]


class Schema(BaseModel):
    """Strict where it says something, and silent about other fields."""

    # each command needs one or two of them
    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, defer_build=True)


class ProgressSchema(Schema):
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    message: str | None = None


class StoredSchema(Schema):
    size: Size
    content_type: str
    sha256: str


class ArtifactSchema(StoredSchema):
    name: str


class JobViewSchema(Schema):
    id: Id
    status: Word
    done: bool
    progress: ProgressSchema | None = None
    error: Problem | None = None
    result: StoredSchema | None = None
    artifacts: list[ArtifactSchema] | None = None
    metadata: dict[str, Any] | None = None
    waiting_reason: Word | None = None


class EventSchema(Schema):
    error: Problem | None = None


class EndpointSchema(Schema):
    id: Id
    events: list[str] | None = None
    secret: Annotated[str, Field(pattern=r"^[!-~]{1,512}$")] | None = None


class DeliverySchema(Schema):
    id: Id
    attempts: list[dict[str, Any]] | None = None


class TenantSchema(Schema):
    tenant: Id


class AdminJobSchema(TenantSchema):
    job: JobViewSchema


class QueueSchema(Schema):
    waiting: Size
    in_flight: Size
    delayed: Size


class LaneSchema(Schema):
    lane: str
    queue: QueueSchema
    dead_letters: QueueSchema


class DeadLetterSchema(Schema):
    message_id: Id


class JobTypeSchema(Schema):
    name: str


class PartSchema(Schema):
    number: Annotated[int, Field(ge=1, le=10_000)]
    url: Url


class PartLinksSchema(Schema):
    parts: list[PartSchema]
    next_parts: str | None


class UploadTicketSchema(Schema):
    id: Id
    method: Annotated[str, Field(pattern="^(PUT|POST)$")]
    url: Url
    headers: dict[HeaderName, HeaderValue]


class MultipartTicketSchema(PartLinksSchema):
    id: Id
    part_size: Annotated[int, Field(ge=1, le=5 * 1024**3)]


class UploadSchema(Schema):
    id: Id
    filename: str
    size: Size
    sha256: str | None
    ticket: dict[str, Any] | None


SCHEMAS: Mapping[str, type[Schema]] = MappingProxyType(
    {
        "job": JobViewSchema,
        "event": EventSchema,
        "progress": ProgressSchema,
        "endpoint": EndpointSchema,
        "delivery": DeliverySchema,
        "tenant": TenantSchema,
        "admin job": AdminJobSchema,
        "lane": LaneSchema,
        "dead letter": DeadLetterSchema,
        "job type": JobTypeSchema,
        "parts": PartLinksSchema,
        "upload ticket": UploadTicketSchema,
        "multipart ticket": MultipartTicketSchema,
        "upload": UploadSchema,
    }
)


def validate(schema: str, document: object) -> None:
    """Raises ValueError for a document that is not of this shape, named as in `SCHEMAS`."""
    SCHEMAS[schema].model_validate(document)
