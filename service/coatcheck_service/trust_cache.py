"""Caches the trust policy, and the public keys of the issuers in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coatcheck.core.clock import SECOND
from coatcheck.core.trust_policy import Issuer, TrustPolicy
from coatcheck_service.issuer_keys import Fetch, IssuerKeys, fetch_json

TTL = 30 * SECOND
"""Milliseconds until a process notices that the policy has changed."""


class TrustCache:
    """The policy that was read last. `fetch` gets the documents of issuers."""

    def __init__(self, fetch: Fetch = fetch_json) -> None:
        self._fetch = fetch
        self._policy = TrustPolicy()
        self._read_at: int | None = None
        self._keys: dict[str, IssuerKeys] = {}

    async def policy(self, *, now: int, read: Callable[[], Awaitable[TrustPolicy]]) -> TrustPolicy:
        """Return what `read` returns, or returned less than `TTL` ago."""
        if self._read_at is None or not 0 <= now - self._read_at < TTL:
            self._policy = await read()
            self._read_at = now
            trusted = {one.issuer for one in self._policy.issuers}
            self._keys = {issuer: keys for issuer, keys in self._keys.items() if issuer in trusted}
        return self._policy

    def keys_of(self, issuer: Issuer) -> IssuerKeys:
        """Return the keys of an issuer of the policy."""
        if issuer.issuer not in self._keys:
            self._keys[issuer.issuer] = IssuerKeys(issuer.issuer, self._fetch)
        return self._keys[issuer.issuer]
