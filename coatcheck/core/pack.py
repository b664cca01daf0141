"""JSON in few bytes: text, deflated where that is shorter. It does not use DynamoDB numbers, so floats survive."""

from __future__ import annotations

import json
import zlib
from typing import Any

_PLAIN, _DEFLATED = b"j", b"z"


def to_json(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises ValueError for NaN and infinities, which JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def canonical_json(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of its keys."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def pack(text: bytes) -> bytes:
    """`text` with a mark, deflated where that is shorter."""
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
