"""`Range` (RFC 9110, 14): the piece of a result that a client asks for, to go on with a download."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request

from coatcheck.errors import RangeNotSatisfiable

# the unit is in any case (14.1); longer numbers are beyond any result
_ONE = re.compile(r"(?i:bytes)=[\t ]*(\d{0,18})-(\d{0,18})[\t ]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `first` to `last`, both included, of `size`."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """What `Content-Range` says of it."""
        return f"bytes {self.first}-{self.last}/{self.size}"


def piece_asked(request: Request, tag: str, size: int) -> Piece | None:
    """The one range of bytes that the request asks for, of the `size` bytes that have this ETag; None for all of them.

    All of them is the answer to several ranges at once, to other units and to what is no range (14.2 leaves that
    open), to HEAD, and to an `If-Range` that names another version (13.1.5). Raises RangeNotSatisfiable for a range
    that begins behind the end.
    """
    asked, known = request.headers.getlist("range"), request.headers.getlist("if-range")
    one = _ONE.fullmatch(asked[0]) if len(asked) == 1 else None
    if one is None or request.state.head or known not in ([], [tag]):
        return None
    first, last = one.groups()
    if not first:
        return _last_bytes(last, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(f"The result has {size} bytes.")
    return Piece(int(first), min(int(last), size - 1) if last else size - 1, size)


def _last_bytes(length: str, size: int) -> Piece | None:
    """The last bytes. No range can be named of what is empty, so that it comes whole."""
    if not length:
        return None
    if int(length) == 0:
        raise RangeNotSatisfiable("The last 0 bytes are none.")
    return Piece(max(size - int(length), 0), size - 1, size) if size else None
