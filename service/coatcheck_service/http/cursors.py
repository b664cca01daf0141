"""Authenticated cursors: where a list goes on, for whoever was given it, and for nobody else.

The key is the digest of the caller's own key, so nothing has to be stored or shared. A cursor ends with that key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from coatcheck.core.errors import FieldError
from coatcheck_service.http.field_errors import invalid_request

MAX_LENGTH = 500

_MAC_BYTES = 16

M = TypeVar("M", bound=BaseModel)


def seal(place: BaseModel, *, of: str, key: bytes) -> str:
    """Return the cursor of a place in the list `of`, which is its operation and its filters."""
    text = place.model_dump_json().encode()
    return base64.urlsafe_b64encode(_mac(text, of, key) + text).decode().rstrip("=")


def unseal(cursor: str, model: type[M], *, of: str, key: bytes) -> M:
    """Return the place that `seal` was given. Raises InvalidRequest for any other text."""
    try:
        sealed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mac, text = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if hmac.compare_digest(mac, _mac(text, of, key)):
            return model.model_validate_json(text)
    except (ValidationError, binascii.Error, UnicodeEncodeError):
        pass
    raise invalid_request(
        [FieldError("/after", "is not the `next` of this list with these filters and this key: leave it out")]
    )


def _mac(text: bytes, of: str, key: bytes) -> bytes:
    return hmac.new(key, of.encode() + b"\0" + text, hashlib.sha256).digest()[:_MAC_BYTES]
