"""A request's body: bounded while it is read, and JSON that everyone reads alike."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from coatcheck.errors import MalformedJson, PayloadTooLarge
from service.caller import Caller
from service.flaws import invalid
from service.media_types import refuse_other_than_json
from service.structure import refuse_too_much
from service.tools import Tools

M = TypeVar("M", bound=BaseModel)

_LARGEST_NUMBER = 308
"""Digits: what an IEEE double, which most JSON parsers make of a number, still holds."""


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """A body as a model, and how many bytes it had."""

    asked: M
    size: int


async def read_json(caller: Caller, request: Request, model: type[M]) -> Received[M]:
    """The body as a `model`.

    Raises UnsupportedMediaType, PayloadTooLarge, MalformedJson, or InvalidRequest with every flaw.
    """
    refuse_other_than_json(request)
    body = await _read(request, largest(caller.tools))
    parsed = await caller.tools.offload.run(caller.tenant, len(body), partial(parse, model, body))
    return Received(parsed, len(body))


async def read_json_if_any(caller: Caller, request: Request, model: type[M]) -> Received[M]:
    """As `read_json`; a request without a body is one of an empty object."""
    body = await _read(request, largest(caller.tools))
    if not body:
        return Received(model(), 0)
    refuse_other_than_json(request)
    parsed = await caller.tools.offload.run(caller.tenant, len(body), partial(parse, model, body))
    return Received(parsed, len(body))


def parse(model: type[M], body: bytes) -> M:
    """JSON text as a `model`. Raises PayloadTooLarge, MalformedJson, or InvalidRequest with every flaw."""
    refuse_too_much(body)
    try:
        parsed = model.model_validate_json(body)
    except ValidationError as error:
        if error.error_count() == 1:
            (only,) = error.errors(include_url=False, include_input=False, include_context=False)
            if only["type"] == "json_invalid":
                raise MalformedJson(f"{only['msg']}.") from None
        raise invalid(error) from None
    _refuse_ambiguous(body)
    return parsed


def largest(tools: Tools) -> int:
    """Bytes that a body may have: what the deployment says, or what the front door carries where that is less."""
    return min(tools.deployment.max_json_bytes, tools.front_door.max_body)


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
    return PayloadTooLarge(f"A body may have {limit:,} bytes at most here.")


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
