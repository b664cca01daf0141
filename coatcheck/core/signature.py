"""Signatures of webhooks: Standard Webhooks 1.0, symmetric (`v1`), for those who sign and those who verify.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = 300
"""Seconds by which a timestamp may lie in the past or in the future."""

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret starts with
_SECRET_BYTES = range(24, 65)
_MASTER_BYTES = 32
_DERIVATION = "coatcheck webhook secret 1"
_VERSION = "v1"
_VALID_ID = re.compile(r"[!-\-/-~]{1,256}")
"""Visible ASCII without the dot that sets the signed parts apart: with one in it, two messages could share a text."""
_VALID_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """A webhook that cannot be trusted. The text is one line that says why, and holds nothing of what was sent."""


def sign(secrets: str | Sequence[str], webhook_id: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers of a webhook that is sent `at` (seconds since the epoch), with one signature for each secret.

    The newest secret goes first. Raises ValueError for no secret, a malformed one, or an id that is not 1 to 256
    visible ASCII characters without a dot; TypeError for a body that is not bytes.
    """
    _require_bytes(body)
    keys = [secret_key(one) for one in _as_sequence(secrets)]
    if not _VALID_ID.fullmatch(webhook_id):
        raise ValueError("a webhook id is 1 to 256 visible ASCII characters without a dot")
    timestamp = f"{at:d}"
    signatures = (_signature(key, webhook_id, timestamp, body) for key in keys)
    return {ID: webhook_id, TIMESTAMP: timestamp, SIGNATURE: " ".join(signatures)}


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float | None = None,
    tolerance: int = TOLERANCE,
) -> dict[str, Any]:
    """The event of a webhook that was signed with `secret`, or with one of several.

    `headers` are those of the request, in any case; `body` its bytes as received; `now` is in seconds since the epoch,
    by default the clock's time. A timestamp is valid up to `tolerance` seconds in the past and in the future.

    Raises BadSignature for a webhook that is not to be trusted. What the receiver did wrong is another matter:
    ValueError for a malformed secret or none, TypeError for a body that is not bytes.
    """
    _require_bytes(body)
    keys = [secret_key(one) for one in _as_sequence(secret)]
    webhook_id, timestamp, signatures = _read(headers)
    _require_fresh(int(timestamp), time.time() if now is None else now, tolerance)
    given = [one.encode() for one in signatures.split(" ") if one.startswith(f"{_VERSION},")]
    if not given:
        raise BadSignature(f"{SIGNATURE} has no signature of version {_VERSION}")
    expected = [_signature(key, webhook_id, timestamp, body).encode() for key in keys]
    # compare every pair, so that the time taken does not reveal which secret is in use
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    if not any(matches):
        raise BadSignature("no signature matches: the secret is wrong, or the body is not the raw bytes that came")
    return _event(body)


def derive_secret(master: bytes, *parts: str) -> str:
    """The secret that belongs to `parts`, in their order: always the same, and of no help in finding another.

    `master` is the key of the deployment, at least 32 bytes. Raises ValueError for a shorter one, or no parts.
    """
    if len(master) < _MASTER_BYTES or not parts:
        raise ValueError(f"a secret is derived from {_MASTER_BYTES} bytes or more, and from what it is for")
    # the lengths keep ("ab", "c") and ("a", "bc") apart
    named = b"".join(len(part).to_bytes(4, "big") + part for part in (one.encode() for one in (_DERIVATION, *parts)))
    return _SECRET_PREFIX + base64.b64encode(hmac.digest(master, named, "sha256")).decode()


def secret_key(secret: str) -> bytes:
    """The key inside a secret as it is shown. Raises ValueError, which does not repeat it, for an invalid secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        raise ValueError(
            f"a webhook secret is {_SECRET_PREFIX} and base64 of {_SECRET_BYTES[0]} to {_SECRET_BYTES[-1]} bytes, "
            "with nothing before or after it"
        )
    return key


def _as_sequence(secrets: str | Sequence[str]) -> Sequence[str]:
    # an unset variable of the environment is the usual way to have none
    if not secrets:
        raise ValueError("no webhook secret was given: give one or more")
    return [secrets] if isinstance(secrets, str) else secrets


def _signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    return f"{_VERSION},{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def _read(headers: Mapping[str, str]) -> tuple[str, str, str]:
    known = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not known.get(name)]
    if missing:
        raise BadSignature(f"missing header: {', '.join(missing)}")
    if not _VALID_ID.fullmatch(known[ID]):
        raise BadSignature(f"{ID} is not 1 to 256 visible ASCII characters without a dot")
    if not _VALID_TIMESTAMP.fullmatch(known[TIMESTAMP]):
        raise BadSignature(f"{TIMESTAMP} is not a whole number of seconds since 1970")
    if not known[SIGNATURE].isascii():
        raise BadSignature(f"{SIGNATURE} is not ASCII")
    return known[ID], known[TIMESTAMP], known[SIGNATURE]


def _require_fresh(timestamp: int, now: float, tolerance: int) -> None:
    if now - timestamp > tolerance:
        raise BadSignature(f"{TIMESTAMP} is more than {tolerance} s in the past: this is a replay, or a clock is wrong")
    if timestamp - now > tolerance:
        raise BadSignature(f"{TIMESTAMP} is more than {tolerance} s in the future: a clock is wrong")


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise BadSignature("the signature is right, but the body is not a JSON object")
    return event


def _require_bytes(body: object) -> None:
    if not isinstance(body, bytes):
        raise TypeError(f"the body must be the raw bytes that came, before any parsing, not {type(body).__name__}")
