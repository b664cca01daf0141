"""Checks the media type of a request's body."""

from __future__ import annotations

from starlette.requests import Request

from coatcheck.core.errors import UnsupportedMediaType
from coatcheck.core.sanitize import parameters

_UTF_8 = {"utf-8", "utf8"}


def require_json(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body is JSON in UTF-8, uncompressed.

    `charset` may repeat that. Other parameters are ignored, as JSON defines none (RFC 8259, 11).
    """
    values = request.headers.getlist("content-type")
    if len(values) != 1 or values[0].partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("The Content-Type must be application/json.")
    found = parameters(values[0])
    if found is None:
        raise UnsupportedMediaType("The parameters of the Content-Type are not valid: leave them out.")
    if any(name == "charset" and value.lower() not in _UTF_8 for name, value in found):
        raise UnsupportedMediaType("The body must be in UTF-8: leave the charset out, or name utf-8.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("The body must come without Content-Encoding.")
