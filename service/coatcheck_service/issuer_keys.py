"""The public keys of the issuers of JSON Web Tokens: fetched from the issuer itself, kept, and refreshed.

Nothing in a token says where keys are: only the issuer's own discovery document does.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from coatcheck.core.clock import HOUR, SECOND
from coatcheck.core.errors import Unavailable
from coatcheck.core.trust_policy import LOOPBACK_URL, is_fetchable

if TYPE_CHECKING:
    import aiohttp
    from joserfc.jwk import Key

log = logging.getLogger(__name__)

FRESH = HOUR
"""Milliseconds after which keys are fetched again. Meanwhile, and where that fails, the old ones go on."""

KEPT = 24 * HOUR
"""Milliseconds for which keys are used whose issuer cannot be reached."""

FETCH_INTERVAL = 10 * SECOND
"""Milliseconds between two fetches of one issuer's keys, at least, whatever key ids tokens name."""

FETCH_SECONDS = 3
"""Seconds for each of the two documents of an issuer."""

MAX_DOCUMENT_BYTES = 256 * 1024


class FetchFailed(Exception):
    """An issuer's document could not be fetched, or is none. The message says which and why."""


Fetch = Callable[[str], Awaitable[Mapping[str, Any]]]


class IssuerKeys:
    """The keys of one issuer, by their ids. `fetch` returns the JSON object at a URL or raises FetchFailed."""

    def __init__(self, issuer: str, fetch: Fetch) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._keys: Mapping[str, Key] = {}
        self._fetched_at: int | None = None
        self._tried_at: int | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, key_id: str, *, now: int) -> Key | None:
        """Return a key; None if the issuer publishes no such key. Raises Unavailable if that cannot be known now."""
        known = self._keys.get(key_id) if self._age(self._fetched_at, now) < KEPT else None
        if known is not None and self._age(self._fetched_at, now) < FRESH:
            return known
        self._start_fetch(now)
        if known is not None:
            # nobody waits for an issuer while its old keys are good
            return known
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        if found := self._keys.get(key_id):
            return found
        if self._failed:
            raise Unavailable(
                "The issuer of this token cannot be reached: try again.", retry_after=FETCH_INTERVAL // SECOND
            )
        return None

    def _start_fetch(self, now: int) -> None:
        if self._fetching is None and self._age(self._tried_at, now) >= FETCH_INTERVAL:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._refresh(now))

    async def _refresh(self, now: int) -> None:
        try:
            self._keys = await self._published()
            self._fetched_at = now
            self._failed = False
        except FetchFailed as error:
            self._failed = True
            if self._age(self._fetched_at, now) >= KEPT:
                self._keys = {}
            log.warning("no keys of the issuer %s: %s", self._issuer, error)
        finally:
            self._fetching = None

    async def _published(self) -> Mapping[str, Key]:
        # slow to import, and few deployments have issuers
        from coatcheck_service.json_web_tokens import read_keys  # noqa: PLC0415

        discovery = await self._fetch(f"{self._issuer.removesuffix('/')}/.well-known/openid-configuration")
        if discovery.get("issuer") != self._issuer:
            raise FetchFailed("its discovery document is another issuer's")
        url = discovery.get("jwks_uri")
        if not isinstance(url, str) or not _may_follow(self._issuer, url):
            raise FetchFailed("the jwks_uri of its discovery document is no URL with https")
        return read_keys(await self._fetch(url))

    @staticmethod
    def _age(at: int | None, now: int) -> int:
        return KEPT if at is None else abs(now - at)


def _may_follow(issuer: str, url: str) -> bool:
    """Whether a URL of a discovery document may be fetched: of this machine, only by an issuer of this machine."""
    here = [bool(LOOPBACK_URL.fullmatch(one)) for one in (issuer, url)]
    return is_fetchable(url) and here[0] == here[1]


async def fetch_json(url: str) -> Mapping[str, Any]:
    """Return the JSON object at `url`. Follows no redirect. Raises FetchFailed."""
    # slow to import, and few deployments have issuers
    import aiohttp  # noqa: PLC0415

    limit = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    # a proxy of the environment is for other machines
    async with aiohttp.ClientSession(timeout=limit, trust_env=not LOOPBACK_URL.fullmatch(url)) as session:
        try:
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            async with session.get(url, allow_redirects=False, headers=headers) as response:
                if response.status != 200:
                    raise FetchFailed(f"{url}: HTTP status {response.status}")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise FetchFailed(f"{url}: an encoding that was not asked for")
                body = await _read(response.content)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise FetchFailed(f"{url}: {type(error).__name__}") from error
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise FetchFailed(f"{url}: not a JSON object of at most {MAX_DOCUMENT_BYTES} bytes")
    return document


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Return the bytes, cut off where they are too many."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            return b""
    return bytes(body)
