"""How much there is in a JSON text, counted without parsing it.

Most of what a parser costs goes by names and values, not by bytes: a megabyte of `[[],[],…` takes a hundred times as
long as one of text, and the interpreter's lock is held all the while.
"""

from __future__ import annotations

from coatcheck.core.errors import PayloadTooLarge

MAX_VALUES = 50_000
"""Names and values of a body. No single call on so many takes longer than some tens of milliseconds."""

_STRUCTURAL = (b",", b":", b"[", b"{")
"""Before each name and each value but the outermost stands one of these."""


def check_value_count(body: bytes, limit: int = MAX_VALUES) -> None:
    """Raises PayloadTooLarge for a text of more than `limit` names and values.

    What is no JSON is left to the parser.
    """
    # nearly always enough: what stands within strings is counted too, so that there are no more than these
    if _count_structural(body) < limit:
        return
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # two quotes to a string: this bounds the split below
    if unescaped.count(b'"') > 2 * limit or _count_structural(b"".join(unescaped.split(b'"')[::2])) >= limit:
        raise PayloadTooLarge(f"The body has too many values: {limit:,} names and values are allowed.")


def _count_structural(text: bytes) -> int:
    return sum(text.count(character) for character in _STRUCTURAL)
