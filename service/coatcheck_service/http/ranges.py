"""`Range` (RFC 9110, 14): the part of a result that a client requests, for example to continue a download."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request

from coatcheck.core.errors import RangeNotSatisfiable

# the unit is case-insensitive (14.1); longer numbers are beyond any result
_SINGLE_RANGE = re.compile(r"(?i:bytes)=[\t ]*(\d{0,18})-(\d{0,18})[\t ]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last`, both included, of `size`."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.first}-{self.last}/{self.size}"


def requested_range(request: Request, etag: str, size: int) -> ByteRange | None:
    """Return the requested range of the `size` bytes that have this ETag; None for all of them.

    The result is None for several ranges in one request, for other units and invalid ranges (14.2 allows that), for
    HEAD, and for an `If-Range` that names another version (13.1.5). Raises RangeNotSatisfiable for a range that begins
    beyond the end.
    """
    ranges, if_range = request.headers.getlist("range"), request.headers.getlist("if-range")
    match = _SINGLE_RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if match is None or request.state.head or if_range not in ([], [etag]):
        return None
    first, last = match.groups()
    if not first:
        return _suffix_range(last, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(f"The file has {size} bytes: the range begins beyond its end.")
    return ByteRange(int(first), min(int(last), size - 1) if last else size - 1, size)


def _suffix_range(length: str, size: int) -> ByteRange | None:
    """Return the range of the last bytes. An empty file has no valid range, so it is sent whole."""
    if not length:
        return None
    if int(length) == 0:
        raise RangeNotSatisfiable("The range asks for 0 bytes: ask for 1 or more.")
    return ByteRange(max(size - int(length), 0), size - 1, size) if size else None
