"""Ids: opaque, at most 64 characters of `[A-Za-z0-9_-]`, with a prefix that tells their kind."""

from __future__ import annotations

import base64
import hashlib
import re

_ID = re.compile(r"(job|upl|whe|dlv|evt)_[A-Za-z0-9_-]{1,60}")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")


def make_id(kind: str, entropy: bytes) -> str:
    """An id of `kind` (`job`, `upl`, `whe`, `dlv`, `evt`) from 16 random bytes."""
    if len(entropy) != 16:
        raise ValueError(f"an id is made of 16 bytes, not {len(entropy)}")
    return f"{kind}_{base64.b32hexencode(entropy).decode().rstrip('=').lower()}"


def job_id_for_key(tenant: str, idempotency_key: str) -> str:
    """The one id a job can have under this tenant's idempotency key."""
    digest = hashlib.sha256(f"{tenant}\0{idempotency_key}".encode()).digest()
    return make_id("job", digest[:16])


def is_id(kind: str, text: str) -> bool:
    """Whether `text` can be an id of `kind`. Anything else names nothing, and is not worth a read."""
    return text.startswith(f"{kind}_") and _ID.fullmatch(text) is not None


def is_tenant(text: str) -> bool:
    """Whether `text` can name a tenant: it becomes part of keys in the table and the bucket."""
    return _TENANT.fullmatch(text) is not None
