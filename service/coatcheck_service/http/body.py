"""Reads a request's body: limits its size while reading, and accepts only JSON that all parsers read alike."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from coatcheck.core.errors import MalformedJson, PayloadTooLarge
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request_from
from coatcheck_service.http.json_size import check_value_count
from coatcheck_service.http.media_types import require_json

M = TypeVar("M", bound=BaseModel)

MAX_DIGITS = 308
"""Digits of an integer that an IEEE double still holds; most JSON parsers make doubles of numbers."""

MAX_DEPTH = 200
"""Arrays and objects within each other that pydantic's parser takes, with the body itself."""


@dataclass(frozen=True, slots=True)
class JsonBody(Generic[M]):
    """A parsed body, and its size in bytes."""

    value: M
    size: int


async def read_json(context: RequestContext, request: Request, model: type[M]) -> JsonBody[M]:
    """Read the body and parse it as a `model`.

    Raises UnsupportedMediaType, PayloadTooLarge, MalformedJson, or InvalidRequest with the field errors.
    """
    require_json(request)
    body = await _read(request, max_body_size(context))
    parsed = await context.dependencies.offload.run(context.tenant, len(body), partial(parse, model, body))
    return JsonBody(parsed, len(body))


async def read_json_if_any(context: RequestContext, request: Request, model: type[M]) -> JsonBody[M]:
    """Do as `read_json`, but take a missing body as an empty object."""
    body = await _read(request, max_body_size(context))
    if not body:
        return JsonBody(model(), 0)
    require_json(request)
    parsed = await context.dependencies.offload.run(context.tenant, len(body), partial(parse, model, body))
    return JsonBody(parsed, len(body))


def parse(model: type[M], body: bytes) -> M:
    """Parse JSON text as a `model`. Raises PayloadTooLarge, MalformedJson, or InvalidRequest with the field errors."""
    check_value_count(body)
    try:
        parsed = model.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() == 1:
            (first,) = error.errors(include_url=False, include_input=False, include_context=False)
            if first["type"] == "json_invalid":
                raise MalformedJson(f"{first['msg']}.") from None
        raise invalid_request_from(error) from None
    _check_unambiguous(body)
    return parsed


def max_body_size(context: RequestContext) -> int:
    """Bytes that a body may have: the deployment's limit, or the front door's if that is less."""
    return min(context.dependencies.settings.max_json_bytes, context.front_door.max_body)


async def _read(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A body may have {limit:,} bytes at most here: send what is larger as an upload.")


def _check_unambiguous(body: bytes) -> None:
    """Refuse what pydantic's parser accepts and other parsers read differently: duplicate names, NaN, 1e999."""
    json.loads(
        body.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
    )


def _object(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise MalformedJson("An object has the same name twice.")


def _constant(name: str) -> NoReturn:
    raise MalformedJson(f"{name} is not JSON.")


def _float(text: str) -> None:
    if math.isinf(float(text)):
        raise MalformedJson("A number is too large: a 64-bit float must hold it.")


def _integer(text: str) -> None:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise MalformedJson("A number is too large: a 64-bit float must hold it.")
