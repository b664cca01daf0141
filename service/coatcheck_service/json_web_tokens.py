"""JSON Web Tokens: their signatures and claims. All that knows joserfc, which is imported where a token comes."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, SecurityWarning
from joserfc.jwk import Key, import_key

from coatcheck.core.errors import Forbidden, Unauthenticated
from coatcheck.core.ids import TENANT_PATTERN
from coatcheck.core.principal import Principal
from coatcheck.core.sanitize import plain_text, quoted
from coatcheck.core.trust_policy import MAX_SUBJECT_LENGTH, Issuer, claim, granted_scopes

MAX_KEYS = 100
"""Keys of one issuer that are kept."""

MAX_KEY_ID_LENGTH = 512

_TENANT = re.compile(TENANT_PATTERN)

MALFORMED = "The token is not a JSON Web Token that can be read."


class _Registry(jws.JWSRegistry):
    """Takes headers that it does not know, as RFC 7515 asks, but none that are critical."""

    max_header_length = 4096


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself, before anybody has checked that it is true."""

    text: str
    algorithm: object
    key_id: str
    issuer: object


def read_token(text: str) -> UnverifiedToken:
    """Read a token, to find out whose it is said to be. Raises Unauthenticated."""
    registry = _Registry(strict_check_header=False)
    try:
        signed = jws.extract_compact(text.encode(), registry=registry)
        header, claims = signed.headers(), _object(signed.payload)
    except (JoseError, ValueError, RecursionError):
        raise Unauthenticated(MALFORMED) from None
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= MAX_KEY_ID_LENGTH:
        raise Unauthenticated("The token does not name the key that it is signed with (`kid`).")
    return UnverifiedToken(text, header.get("alg"), key_id, claims.get("iss"))


def verify_token(token: UnverifiedToken, key: Key, issuer: Issuer, *, now: int) -> Principal:
    """Return whose a token of `issuer` is, if `key` has signed it. Raises Unauthenticated, and Forbidden."""
    registry = _Registry(algorithms=issuer.algorithms, strict_check_header=False)
    try:
        claims = jwt.decode(token.text, key, registry=registry).claims
        _check_claims(claims, issuer, now // 1000)
    except ExpiredTokenError:
        raise Unauthenticated("The token has expired.") from None
    except ClaimError as error:
        raise Unauthenticated(f"The claim `{error.claim}` of the token is missing, or not valid here.") from None
    except (JoseError, ValueError, RecursionError):
        raise Unauthenticated("The token is not signed by its issuer.") from None
    subject = plain_text(claims.get("sub", ""), longest=MAX_SUBJECT_LENGTH) or None
    expires_at = _expires_at(issuer, claims)
    return Principal(_tenant(issuer, claims), granted_scopes(issuer, claims), None, subject, expires_at)


def read_keys(document: Mapping[str, Any]) -> Mapping[str, Key]:
    """Return the keys of a JWK Set (RFC 7517) that can have signed a token. Others are left out."""
    listed = document.get("keys")
    found: dict[str, Key] = {}
    for one in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        key = _key(one)
        if key is not None and key.kid:
            found[key.kid] = key
    return found


def _key(data: object) -> Key | None:
    if not isinstance(data, dict) or data.get("kty") not in {"RSA", "EC"} or data.get("use", "sig") != "sig":
        return None
    # only what a public key has
    public = {name: data[name] for name in ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y") if name in data}
    with warnings.catch_warnings():
        # joserfc warns of RSA keys with less than 2048 bits
        warnings.simplefilter("error", SecurityWarning)
        try:
            return import_key(public)
        except (JoseError, ValueError, TypeError, SecurityWarning):
            return None


def _check_claims(claims: dict[str, Any], issuer: Issuer, now: int) -> None:
    """Raise ClaimError for a claim that is missing or wrong. `now` is in seconds."""
    audience: jwt.ClaimsOption = {"essential": True, "values": list(issuer.audiences)}
    options: dict[str, jwt.ClaimsOption] = {
        "iss": {"essential": True, "value": issuer.issuer},
        "exp": {"essential": True},
        # access tokens of Cognito have a client_id and no aud
        "client_id" if claims.get("aud") is None else "aud": audience,
        # Cognito's alone have it
        "token_use": {"value": issuer.token_use},
    }
    registry = jwt.JWTClaimsRegistry(now, issuer.leeway, **options)
    registry.validate(claims)


def _expires_at(issuer: Issuer, claims: Mapping[str, Any]) -> int:
    """When a token expires, in milliseconds. Raises Unauthenticated: JSON of Python has infinite numbers, and none."""
    expires: float = claims["exp"]
    try:
        return round((expires + issuer.leeway) * 1000)
    except (OverflowError, ValueError):
        raise Unauthenticated("The claim `exp` of the token is missing, or not valid here.") from None


def _tenant(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    if issuer.tenant is not None:
        return issuer.tenant
    tenant = claim(claims, issuer.tenant_claim)
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise Forbidden(f"The token names no tenant in its claim {quoted(issuer.tenant_claim)}.")
    return tenant


def _object(payload: bytes | None) -> dict[str, Any]:
    """Return the JSON object in a token. Raises ValueError."""
    found = json.loads(payload or b"")
    if not isinstance(found, dict):
        raise ValueError  # noqa: TRY004 - it is the same fault
    return found
