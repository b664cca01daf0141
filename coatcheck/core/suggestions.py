"""Error messages for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from coatcheck.core.sanitize import MAX_QUOTED_CHARACTERS, quoted

MIN_SIMILARITY = 0.75
"""How similar a known name must be, from 0 to 1, to be suggested."""


def unknown(kind: str, given: str, known: Iterable[str], *, see: str) -> str:
    """A message with the given name and the closest known name; if none is close, it says `see`."""
    # the time of the comparison grows with the square of the length
    close = get_close_matches(given[:MAX_QUOTED_CHARACTERS], known, n=1, cutoff=MIN_SIMILARITY)
    return f"unknown {kind} {quoted(given)}; {f'did you mean `{close[0]}`?' if close else see}"
