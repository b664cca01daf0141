"""What pydantic found, as clients are told: where and what, and never what they sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from coatcheck.errors import Flaw, InvalidRequest

MOST = 20
"""Flaws told at once: a body of a million wrong items needs no million lines."""

MOST_BUILT = 5000
"""Flaws of which the first are told: pydantic builds all of its errors or none, and holds the interpreter's lock."""

_WORDS: Mapping[str, str] = {
    "extra_forbidden": "is not a field that is known here",
    "missing": "is required",
}


def invalid(error: ValidationError, within: str = "") -> InvalidRequest:
    """The error to be raised for `error`, whose places are all below the pointer `within`."""
    if (count := error.error_count()) > MOST_BUILT:
        return refused([Flaw(within, f"does not fit in {count:,} places, which are too many to be named")])
    return refused(flaws(error.errors(include_url=False, include_input=False, include_context=False), within))


def refused(found: Sequence[Flaw]) -> InvalidRequest:
    """The error for these flaws, of which there is one at least."""
    more = ", and more" if len(found) > 1 else ""
    where = f"{found[0].pointer}: " if found[0].pointer else ""
    return InvalidRequest(f"{where}{found[0].detail}{more}.", flaws=found)


def flaws(errors: Sequence[Any], within: str = "") -> list[Flaw]:
    """The flaws in pydantic's error list, the first `MOST` of them."""
    return [Flaw(within + pointer(error["loc"]), _words(error)) for error in errors[:MOST]]


def pointer(place: Sequence[int | str]) -> str:
    """An RFC 6901 JSON pointer; what pydantic adds for a name that is wrong itself is left out."""
    steps = [str(step)[:200] for step in place if step != "[key]"]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _words(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return _WORDS.get(error["type"], message[:1].lower() + message[1:])
