"""The base classes and types of the models of the JSON that clients send and see."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, PlainValidator, WithJsonSchema

from coatcheck.core.clock import from_rfc3339
from coatcheck.core.deferred_model import DeferredModel

_DATE_TIME = {"type": "string", "format": "date-time"}

Moment = Annotated[int, PlainValidator(from_rfc3339), WithJsonSchema(_DATE_TIME)]
"""RFC 3339 outside, milliseconds since the epoch inside."""

Timestamp = Annotated[str, WithJsonSchema({**_DATE_TIME, "examples": ["2026-11-03T09:30:00.000Z"]})]


class RequestModel(DeferredModel):
    """What clients send: unknown fields and values of another JSON type are refused."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResponseModel(DeferredModel):
    """What clients are shown: they have to put up with fields they do not know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)
