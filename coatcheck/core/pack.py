"""JSON in few bytes: text, deflated where that is shorter. It does not use DynamoDB numbers, so floats survive."""

from __future__ import annotations

import json
import zlib
from typing import Any

_PLAIN, _DEFLATED = b"j", b"z"

SHORTEST_DEFLATED = 48
"""Bytes of the shortest text that is worth trying: to begin to deflate costs as much as a signature."""

# `json.dumps` would make them anew each time
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_CANONICAL = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def to_json(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises ValueError for NaN and infinities, which JSON does not have."""
    return _ENCODER.encode(value).encode()


def canonical_json(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of its keys."""
    return _CANONICAL.encode(value).encode()


def pack(text: bytes) -> bytes:
    """`text` with a mark, deflated where that is shorter and the text is not short already."""
    if len(text) < SHORTEST_DEFLATED:
        return _PLAIN + text
    deflated = zlib.compress(text, 9)
    return _DEFLATED + deflated if len(deflated) < len(text) else _PLAIN + text


def unpack(packed: bytes) -> bytes:
    """What was packed. Raises ValueError when it was not made by `pack`, or is damaged."""
    mark, body = packed[:1], packed[1:]
    if mark == _PLAIN:
        return body
    if mark == _DEFLATED:
        try:
            return zlib.decompress(body)
        except zlib.error as error:
            raise ValueError(f"packed text is damaged: {error}") from error
    raise ValueError(f"packed text starts with {_PLAIN!r} or {_DEFLATED!r}, not {mark!r}")
