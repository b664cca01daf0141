"""Caches the trust policy, the public keys of the issuers in it, and the tokens that were verified by it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from coatcheck.core.clock import SECOND
from coatcheck.core.expiring_map import ExpiringMap
from coatcheck.core.principal import Principal
from coatcheck.core.trust_policy import Issuer, TrustPolicy
from coatcheck_service.issuer_keys import Fetch, IssuerKeys, fetch_json

TTL = 30 * SECOND
"""Milliseconds until a process notices that the policy has changed, or that an issuer has withdrawn a key."""

MAX_TOKENS = 10_000


class TrustCache:
    """The policy that was read last. `fetch` gets the documents of issuers."""

    def __init__(self, fetch: Fetch = fetch_json) -> None:
        self._fetch = fetch
        self._policy = TrustPolicy()
        self._read_at: int | None = None
        self._keys: dict[str, IssuerKeys] = {}
        self._verified: ExpiringMap[bytes, Principal] = ExpiringMap(TTL, MAX_TOKENS)

    async def policy(self, *, now: int, read: Callable[[], Awaitable[TrustPolicy]]) -> TrustPolicy:
        """Return what `read` returns, or returned less than `TTL` ago."""
        if self._read_at is None or not 0 <= now - self._read_at < TTL:
            policy = await read()
            if policy != self._policy:
                self._verified = ExpiringMap(TTL, MAX_TOKENS)
            self._policy, self._read_at = policy, now
            trusted = {one.issuer for one in policy.issuers}
            self._keys = {issuer: keys for issuer, keys in self._keys.items() if issuer in trusted}
        return self._policy

    def verified(self, token: str, now: int) -> Principal | None:
        """Return whose a token is that was verified less than `TTL` ago, and has not expired since."""
        principal = self._verified.fresh(_digest(token), now)
        expired = principal is None or principal.expires_at is None or now >= principal.expires_at
        return None if expired else principal

    def note_verified(self, token: str, principal: Principal, now: int) -> None:
        """Keep whose a token is: to verify its signature takes a third of the time of a small request."""
        self._verified.store(_digest(token), principal, now)

    def keys_of(self, issuer: Issuer) -> IssuerKeys:
        """Return the keys of an issuer of the policy."""
        if issuer.issuer not in self._keys:
            self._keys[issuer.issuer] = IssuerKeys(issuer.issuer, self._fetch)
        return self._keys[issuer.issuer]


def _digest(token: str) -> bytes:
    """Return what a token is kept by: the memory of the process holds no token that others could use."""
    return hashlib.sha256(token.encode()).digest()
