"""A request's body: bounded while it is read, and JSON that everyone reads alike."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from coatcheck.errors import MalformedJson, PayloadTooLarge, UnsupportedMediaType
from service.flaws import invalid

M = TypeVar("M", bound=BaseModel)

_LARGEST_NUMBER = 308
"""Digits: what an IEEE double, which most JSON parsers make of a number, still holds."""


async def read_json(request: Request, model: type[M], *, limit: int) -> M:
    """The body as a `model`.

    Raises UnsupportedMediaType, PayloadTooLarge, MalformedJson, or InvalidRequest with every flaw.
    """
    _refuse_other_formats(request)
    return parse(model, await _read(request, limit))


async def read_json_if_any(request: Request, model: type[M], *, limit: int) -> M:
    """As `read_json`; a request without a body is one of an empty object."""
    body = await _read(request, limit)
    if not body:
        return model()
    _refuse_other_formats(request)
    return parse(model, body)


def parse(model: type[M], body: bytes) -> M:
    """JSON text as a `model`. Raises MalformedJson, or InvalidRequest with every flaw."""
    try:
        parsed = model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise MalformedJson(f"{first['msg']}.") from None
        raise invalid(error) from None
    _refuse_ambiguous(body)
    return parsed


def _refuse_other_formats(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType("The Content-Type must be application/json.")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if charset not in {"", "utf-8", "utf8"}:
        raise UnsupportedMediaType("The body must be in UTF-8.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("The body must come without Content-Encoding.")


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
    return PayloadTooLarge(f"A body may have {limit:,} bytes at most.")


def _refuse_ambiguous(body: bytes) -> None:
    """Refuse what pydantic's parser lets pass and other parsers read otherwise: doubled names, NaN, 1e999."""
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
    if len(text.lstrip("-")) > _LARGEST_NUMBER:
        raise MalformedJson("A number is too large: a 64-bit float must hold it.")
