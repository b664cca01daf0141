"""What the client relies on in the server's documents: whatever else they have is left as it came.

A document is checked when it arrives, so that everything behind can rely on types, and no id is more than an id: it
is printed for scripts, and into commands that people copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Word = Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
Size = Annotated[int, Field(ge=0, le=1 << 62)]
Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=16_384)]
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t -~]*$")]
Problem = dict[str, Any]


class Shape(BaseModel):
    """Strict where it says something, and silent about other fields."""

    # each command needs one or two of them
    model_config = ConfigDict(strict=True, defer_build=True)


class Progress(Shape):
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    message: str | None = None


class Stored(Shape):
    size: Size
    content_type: str
    sha256: str


class Artifact(Stored):
    name: str


class JobView(Shape):
    id: Id
    status: Word
    done: bool
    progress: Progress | None = None
    error: Problem | None = None
    result: Stored | None = None
    artifacts: list[Artifact] | None = None
    metadata: dict[str, Any] | None = None


class Event(Shape):
    error: Problem | None = None


class Endpoint(Shape):
    id: Id
    events: list[str] | None = None
    secret: Annotated[str, Field(pattern=r"^[!-~]{1,512}$")] | None = None


class Delivery(Shape):
    id: Id
    attempts: list[dict[str, Any]] | None = None


class JobType(Shape):
    name: str


class Part(Shape):
    number: Annotated[int, Field(ge=1, le=10_000)]
    url: Url


class PartLinks(Shape):
    parts: list[Part]
    next_parts: str | None


class UploadTicket(Shape):
    id: Id
    method: Annotated[str, Field(pattern="^(PUT|POST)$")]
    url: Url
    headers: dict[HeaderName, HeaderValue]


class MultipartTicket(PartLinks):
    id: Id
    part_size: Annotated[int, Field(ge=1, le=5 * 1024**3)]


class Upload(Shape):
    id: Id
    filename: str
    size: Size
    sha256: str | None
    ticket: dict[str, Any] | None


SHAPES: Mapping[str, type[Shape]] = MappingProxyType(
    {
        "job": JobView,
        "event": Event,
        "endpoint": Endpoint,
        "delivery": Delivery,
        "job type": JobType,
        "parts": PartLinks,
        "upload ticket": UploadTicket,
        "multipart ticket": MultipartTicket,
        "upload": Upload,
    }
)


def insist(shape: str, document: object) -> None:
    """Raises ValueError for a document that is not of this shape, named as in `SHAPES`."""
    SHAPES[shape].model_validate(document)
