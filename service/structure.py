"""How much there is in a JSON text, counted without parsing it.

Most of what a parser costs goes by names and values, not by bytes: a megabyte of `[[],[],…` takes a hundred times as
long as one of text, and the interpreter's lock is held all the while.
"""

from __future__ import annotations

from coatcheck.errors import PayloadTooLarge

MOST = 50_000
"""Names and values of a body. No single call on so many takes longer than some tens of milliseconds."""

_SIGNS = (b",", b":", b"[", b"{")
"""Before each name and each value but the outermost stands one of these."""


def refuse_too_much(body: bytes, most: int = MOST) -> None:
    """Raises PayloadTooLarge for a text of more than `most` names and values. What is no JSON is left to the parser."""
    # nearly always enough: what stands within strings is counted too, so that there are no more than these
    if _signs(body) < most:
        return
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # two quotes to a string: this bounds the split below
    if plain.count(b'"') > 2 * most or _signs(b"".join(plain.split(b'"')[::2])) >= most:
        raise PayloadTooLarge(f"A body may hold {most:,} names and values at most.")


def _signs(text: bytes) -> int:
    return sum(text.count(sign) for sign in _SIGNS)
