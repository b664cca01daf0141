"""What a confined process says, read as what it is: said by somebody hostile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from coatcheck.authoring.retry import Reject
from coatcheck.confined.errors import BadAnswer, Failed, LimitReached

MAX_REPORT = 1024**2
"""Bytes of one line: what a value may take as JSON."""

MAX_MESSAGE = 200
MAX_REASON = 2000
MAX_NAME = 100
LIMIT_REASONS = {"memory": "more memory was needed than it may have", "disk": "more disk was needed than it may have"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: 0 to 1, and a message of at most 200 characters."""

    fraction: float
    message: str | None


@dataclass(frozen=True, slots=True)
class InForce:
    """The protections in force, by name."""

    protections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """The function's value, as JSON."""

    text: str


def read_report(line: bytes) -> Progress | InForce | Value:
    """Return what one line says. Raises Reject, LimitReached, Failed or BadAnswer where the line says so."""
    try:
        report: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("the process reported what is no JSON") from error
    match report:
        case {"fraction": int() | float() as fraction, "message": str() | None as message}:
            return Progress(_within_0_and_1(fraction), message and _clean(message, MAX_MESSAGE))
        case {"protections": list(names)} if all(isinstance(name, str) for name in names):
            return InForce(tuple(names))
        case {"value": str(text)}:
            return Value(text)
        case {"rejected": str(reason)}:
            raise Reject(_clean(reason, MAX_REASON))
        case {"limit": "memory" | "disk" as limit}:
            raise LimitReached(limit, LIMIT_REASONS[limit])
        case {"failed": str(name)}:
            raise Failed(f"the function raised {_clean(name, MAX_NAME)}; its traceback is in the log")
    raise BadAnswer("the process reported what is no report")


def _within_0_and_1(fraction: float) -> float:
    # no conversion before: an integer may be too large for it
    return float(min(max(fraction, 0), 1)) if fraction == fraction else 0.0  # noqa: PLR0124 - not a number


def _clean(text: str, most: int) -> str:
    """What JSON, a row and a log can hold: no surrogates, no NUL, not too long."""
    return text[:most].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
