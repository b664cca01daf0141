"""Counts the names and values of a JSON text without parsing it.

The cost of parsing depends mostly on names and values, not on bytes: a megabyte of `[[],[],…` takes a hundred times as
long as one of text, and the interpreter's lock is held all that time.
"""

from __future__ import annotations

from coatcheck.core.errors import PayloadTooLarge

MAX_VALUES = 50_000
"""Names and values that a body may have. No single call on that many takes longer than some tens of milliseconds."""

_STRUCTURAL = (b",", b":", b"[", b"{")
"""One of these stands before each name and each value, except the outermost value."""


def check_value_count(body: bytes, limit: int = MAX_VALUES) -> None:
    """Raises PayloadTooLarge for a text of more than `limit` names and values.

    Text that is not JSON is left to the parser.
    """
    # this bound nearly always suffices: it counts the characters within strings too, so it is never too low
    if _count_structural(body) < limit:
        return
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # a string has two quotes: this bounds the split below
    if unescaped.count(b'"') > 2 * limit or _count_structural(b"".join(unescaped.split(b'"')[::2])) >= limit:
        raise PayloadTooLarge(f"The body has too many values: {limit:,} names and values are allowed.")


def _count_structural(text: bytes) -> int:
    return sum(text.count(character) for character in _STRUCTURAL)
