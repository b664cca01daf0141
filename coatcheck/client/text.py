"""Text that came from elsewhere, made fit for a terminal and a log; JSON that came from elsewhere, read strictly."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_LENGTH = 2_000
"""Characters of one line or cell: what is longer is cut, so that no server fills a terminal or a log."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: object, max_length: int = MAX_LENGTH) -> str:
    """One line of at most `max_length` characters, in which nothing can drive a terminal or turn text around.

    What is longer loses its middle: names stand at the beginning, reasons at the end. Line ends become blanks. What
    `str.isprintable` excludes becomes a replacement character: controls, escape sequences, bidirectional and other
    format characters, lone surrogates (https://docs.python.org/3/library/stdtypes.html#str.isprintable).
    """
    # cut first: the text may be megabytes long
    full = str(text)
    tail = max_length // 4
    cut = full if len(full) <= max_length else f"{full[: max_length - tail - 1]}…{full[-tail:]}"
    return "".join(c if c.isprintable() else " " if c in "\r\n" else _REPLACEMENT for c in cut)


def printable_lines(text: str) -> str:
    """Text of any length that keeps its lines and tabs, and otherwise is as `printable`."""
    return "".join(c if c.isprintable() or c in "\n\t" else _REPLACEMENT for c in text.replace("\r\n", "\n"))


def strict_json(raw: str | bytes) -> Any:
    """The value that JSON text stands for. Raises ValueError for what RFC 8259 does not have, and for what cannot
    be kept: NaN, Infinity, a number beyond a double such as 1e999, an integer of thousands of digits, nesting that
    is too deep, bytes that are not UTF-8 (a UnicodeDecodeError).
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
    try:
        return json.loads(text, parse_constant=_reject_constant, parse_float=_parse_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def _parse_finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{printable(digits, 40)} is too large a number")
    return number
