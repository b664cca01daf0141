"""Names that clients and owners give or get: their patterns, each written once, and how ids are made.

Ids are opaque, at most 64 characters of `[A-Za-z0-9_-]`, with a prefix that tells their kind.
"""

from __future__ import annotations

import base64
import hashlib
import re

KINDS = ("job", "upl", "whe", "dlv", "evt", "key", "opk")


def id_pattern(*kinds: str) -> str:
    """The pattern of the ids of these kinds, for a pydantic field."""
    prefix = kinds[0] if len(kinds) == 1 else f"({'|'.join(kinds)})"
    return rf"^{prefix}_[A-Za-z0-9_-]{{1,60}}$"


ANY_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""An id of any kind, also of one that is not known here."""

TENANT_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""The name of a tenant: it becomes part of keys in the table and the bucket."""

ARTIFACT_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")

_ID = re.compile(id_pattern(*KINDS))


def make_id(kind: str, entropy: bytes) -> str:
    """An id of `kind`, one of `KINDS`, from 16 random bytes."""
    if len(entropy) != 16:
        raise ValueError(f"an id is made of 16 bytes, not {len(entropy)}")
    return f"{kind}_{base64.b32hexencode(entropy).decode().rstrip('=').lower()}"


def job_id_for_key(tenant: str, idempotency_key: str) -> str:
    """The one id a job can have under this tenant's idempotency key."""
    digest = hashlib.sha256(f"{tenant}\0{idempotency_key}".encode()).digest()
    return make_id("job", digest[:16])


def is_id(kind: str, text: str) -> bool:
    """Whether `text` can be an id of `kind`. Anything else names nothing and needs no read."""
    return text.startswith(f"{kind}_") and _ID.fullmatch(text) is not None


PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,58}")
"""An idempotency key that an id can hold as it is."""

KEY_PREFIX = "job_k-"
"""How the id of a job begins that holds its idempotency key. No other has these characters there."""


def job_id_of_plain_key(idempotency_key: str) -> str | None:
    """The id that holds the key itself; None if none can.

    Where API Gateway makes jobs, it is the one id a job can have under such a key: API Gateway computes no digest
    (docs/adr/0163).
    """
    return KEY_PREFIX + idempotency_key if PLAIN_KEY.fullmatch(idempotency_key) else None
