"""What is said of a name that nothing has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from coatcheck.core.sanitize import MAX_QUOTED_CHARACTERS, quoted

MIN_SIMILARITY = 0.75
"""How like a known name must be, from 0 to 1, to be suggested."""


def unknown(kind: str, given: str, known: Iterable[str], *, see: str) -> str:
    """A message that names what was given, and the closest known name; where none is close, it says `see`."""
    # the comparison takes time with the square of the length
    close = get_close_matches(given[:MAX_QUOTED_CHARACTERS], known, n=1, cutoff=MIN_SIMILARITY)
    return f"unknown {kind} {quoted(given)}; {f'did you mean `{close[0]}`?' if close else see}"
