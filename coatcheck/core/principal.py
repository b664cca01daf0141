"""Who calls the API, whatever the credentials were."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a tenant, and what the credentials allow.

    `key_id` is the id of the API key, if it is one of the table. `subject` is whom an issuer or AWS names, for the log.
    `expires_at` is when the credentials end, in milliseconds since the epoch, where that is known.
    """

    tenant: str
    scopes: frozenset[str]
    key_id: str | None = None
    subject: str | None = None
    expires_at: int | None = None
