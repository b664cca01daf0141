"""How a file that is too large for one request is cut into parts. Pure arithmetic, the same on both sides."""

from __future__ import annotations

from dataclasses import dataclass

SINGLE_PART_LIMIT = 5 * 1024**3
"""Bytes that S3 takes in one PUT: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html"""

UPLOAD_LIMIT = 1024**4
"""Bytes of the largest upload."""

# S3 takes parts of 5 MB to 5 GB: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART_SIZE = 8 * 1024**2
MAX_PARTS = 10_000

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class PartPlan:
    """A file of `total` bytes in parts of `part_size` bytes. Only the last part may be shorter.

    Numbers start at 1.
    """

    total: int
    part_size: int

    @classmethod
    def of(cls, total: int) -> PartPlan:
        """The parts of a file: as small as S3's limit on their number allows, so that little is sent again."""
        least = -(-total // MAX_PARTS)
        return cls(total, max(MIN_PART_SIZE, -(-least // _MIB) * _MIB))

    @property
    def count(self) -> int:
        """The number of parts."""
        return -(-self.total // self.part_size)

    def start(self, number: int) -> int:
        """Where in the file a part begins."""
        return (number - 1) * self.part_size

    def length(self, number: int) -> int:
        """The bytes of a part."""
        return min(self.part_size, self.total - self.start(number))


def use_multipart(size: int, *, requested: bool) -> bool:
    """Whether a file goes in parts: it must when one request cannot carry it, and may when it is `requested`."""
    return size > SINGLE_PART_LIMIT or (requested and size > MIN_PART_SIZE)
