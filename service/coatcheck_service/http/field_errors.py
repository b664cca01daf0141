"""Pydantic's errors as clients see them: where and what, but never what they sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from coatcheck.core.errors import FieldError, InvalidRequest

MAX_FIELD_ERRORS = 20
"""Errors listed at once: a body of a million wrong items needs no million lines."""

MAX_PYDANTIC_ERRORS = 5000
"""Flaws of which the first are told: pydantic builds all of its errors or none, and holds the interpreter's lock."""

_MESSAGES: Mapping[str, str] = {
    "extra_forbidden": "is not a known field",
    "missing": "is required",
}


def invalid_request_from(error: ValidationError, prefix: str = "") -> InvalidRequest:
    """The error to be raised for `error`, whose places are all below the pointer `prefix`."""
    if (count := error.error_count()) > MAX_PYDANTIC_ERRORS:
        return invalid_request([FieldError(prefix, f"has {count:,} errors, too many to list")])
    return invalid_request(
        field_errors(error.errors(include_url=False, include_input=False, include_context=False), prefix)
    )


def invalid_request(found: Sequence[FieldError]) -> InvalidRequest:
    """The error for these flaws, of which there is one at least."""
    more = ", and more" if len(found) > 1 else ""
    where = f"{found[0].pointer}: " if found[0].pointer else ""
    text = f"{where}{found[0].detail}{more}"
    return InvalidRequest(text if text.endswith("?") else f"{text}.", field_errors=found)


def field_errors(errors: Sequence[Any], prefix: str = "") -> list[FieldError]:
    """The flaws in pydantic's error list, the first `MAX_FIELD_ERRORS` of them."""
    return [FieldError(prefix + pointer(error["loc"]), _message(error)) for error in errors[:MAX_FIELD_ERRORS]]


def pointer(location: Sequence[int | str]) -> str:
    """An RFC 6901 JSON pointer; what pydantic adds for a name that is wrong itself is left out."""
    names = [str(name)[:200] for name in location if name != "[key]"]
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return _MESSAGES.get(error["type"], message[:1].lower() + message[1:])
