"""Turns pydantic's errors into field errors: they say where and what is wrong, but never repeat what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from coatcheck.core.errors import FieldError, InvalidRequest

MAX_FIELD_ERRORS = 20
"""Field errors in one response: a body of a million wrong items needs no million lines."""

MAX_PYDANTIC_ERRORS = 5000
"""Errors up to which the first are listed: pydantic builds all of them or none, with the interpreter's lock held."""

_MESSAGES: Mapping[str, str] = {
    "extra_forbidden": "is not a known field",
    "missing": "is required",
}


def invalid_request_from(error: ValidationError, prefix: str = "") -> InvalidRequest:
    """Return the exception to raise for `error`. All its locations are below the pointer `prefix`."""
    if (count := error.error_count()) > MAX_PYDANTIC_ERRORS:
        return invalid_request([FieldError(prefix, f"has {count:,} errors, too many to list")])
    return invalid_request(
        field_errors(error.errors(include_url=False, include_input=False, include_context=False), prefix)
    )


def invalid_request(found: Sequence[FieldError]) -> InvalidRequest:
    """Return the exception for these field errors, at least one."""
    more = ", and more" if len(found) > 1 else ""
    where = f"{found[0].pointer}: " if found[0].pointer else ""
    text = f"{where}{found[0].detail}{more}"
    return InvalidRequest(text if text.endswith("?") else f"{text}.", field_errors=found)


def field_errors(errors: Sequence[Any], prefix: str = "") -> list[FieldError]:
    """Return the first `MAX_FIELD_ERRORS` of pydantic's error list as field errors."""
    return [FieldError(prefix + pointer(error["loc"]), _message(error)) for error in errors[:MAX_FIELD_ERRORS]]


def pointer(location: Sequence[int | str]) -> str:
    """Return an RFC 6901 JSON pointer, without the step that pydantic adds for an invalid name."""
    names = [str(name)[:200] for name in location if name != "[key]"]
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return _MESSAGES.get(error["type"], message[:1].lower() + message[1:])
