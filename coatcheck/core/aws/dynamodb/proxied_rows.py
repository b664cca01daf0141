"""Rows that API Gateway made (docs/adr/0163): they keep the request as it came, and what follows from it is derived.

API Gateway computes no digest and writes no JSON of its own. So such a row has the body of the submit in place of the
attributes `input`, `digest` and `metadata`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.pack import canonical_json, pack, to_json

REQUEST = "request"
"""The attribute with the body of the submit."""


def with_derived(item: Item) -> Item:
    """The row as the service would have written it.

    API Gateway has checked the body, with another parser than this one. A body that only API Gateway takes for JSON
    becomes an input that fits no job type: its job fails, and nothing else does.
    """
    body = bytes(item[REQUEST]["B"])
    try:
        request = _parsed(body)
        given, metadata = to_json(request.get("input", {})), request.get("metadata", {})
        digest = canonical_json(request)
    except (ValueError, TypeError, RecursionError):
        given, metadata, digest = body, {}, body
    derived: Item = {
        "input": {"M": {"data": {"B": pack(given)}}},
        "digest": {"B": hashlib.sha256(digest).digest()},
        **({"metadata": {"B": pack(to_json(metadata))}} if metadata else {}),
    }
    return {**item, **derived}


def _parsed(body: bytes) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(body)
    if not isinstance(request, dict):
        raise TypeError("no object")
    metadata = request.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("no labels")
    return request
