"""How a file that is too large for one request is cut into parts. Pure arithmetic, the same on both sides."""

from __future__ import annotations

from dataclasses import dataclass

SINGLE_PART_LIMIT = 5 * 1024**3
"""Bytes that S3 takes in one PUT: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html"""

UPLOAD_LIMIT = 1024**4
"""Bytes of the largest upload."""

# S3 takes parts of 5 MB to 5 GB: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
SMALLEST_PART = 8 * 1024**2
MOST_PARTS = 10_000

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Parts:
    """A file of `total` bytes in parts of `each` bytes, of which only the last may be shorter. Numbers start at 1."""

    total: int
    each: int

    @classmethod
    def of(cls, total: int) -> Parts:
        """The parts of a file: as small as S3's limit on their number allows, so that little is sent again."""
        least = -(-total // MOST_PARTS)
        return cls(total, max(SMALLEST_PART, -(-least // _MIB) * _MIB))

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self.total // self.each)

    def start(self, number: int) -> int:
        """Where in the file a part begins."""
        return (number - 1) * self.each

    def length(self, number: int) -> int:
        """The bytes of a part."""
        return min(self.each, self.total - self.start(number))


def in_parts(size: int, *, asked: bool) -> bool:
    """Whether a file goes in parts: it must when one request cannot carry it, and may when it is `asked` for."""
    return size > SINGLE_PART_LIMIT or (asked and size > SMALLEST_PART)
