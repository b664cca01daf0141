"""Bodies of the sizes at which something may change, and of the kinds that a front door may carry otherwise."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

MIB = 1024**2

EDGES = (0, 1, 4_400_000, 6 * MIB, 10 * MIB)
"""Bytes: where AWS's limits lie, of Lambda (6 MB, and about 4.4 in base64) and of API Gateway (10 MB)."""


def around(*limits: int) -> list[int]:
    """Each limit and each of EDGES with its neighbours."""
    return sorted({size + step for size in (*EDGES, *limits) for step in (-1, 0, 1) if size + step >= 0})


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _words(size: int) -> bytes:
    """UTF-8 of two, three and four bytes a character; what is left over is ASCII."""
    text = "äöüß漢字🧥\n".encode()
    return text * (size // len(text)) + b"." * (size % len(text))


def _escapes(size: int) -> bytes:
    """Text that JSON has to escape, all of it: up to six times as long there."""
    text = b'"\\\n\x01\x1f\r\t"'
    return (text * (size // len(text) + 1))[:size]


KINDS: Mapping[str, tuple[str, Callable[[int], bytes]]] = {
    "noise": ("application/x-noise", _noise),
    "words": ("text/plain; charset=utf-8", _words),
    "escapes": ("application/json", _escapes),
}
"""Each kind of body: its content type, and what makes it of a size."""
