"""A token bucket: so many at once, and so many a second on average.

Its state is one number, the time at which it is full again. A token taken moves that time on by what a token takes to
grow, and may be taken while that time is less than the whole bucket away (GCRA, the algorithm of ATM's traffic
contracts). Times within a bucket are microseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from coatcheck.core.clock import SECOND

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Holds `size` tokens, and gets `rate` of them a second."""

    rate: float
    size: int

    @property
    def interval(self) -> int:
        """Microseconds in which a token grows."""
        return max(1, round(_MICROSECONDS / self.rate))

    @property
    def seconds(self) -> int:
        """Seconds in which the empty bucket becomes full, rounded up."""
        return -(-self.size * self.interval // _MICROSECONDS)

    @property
    def spare(self) -> int:
        """Microseconds that a bucket in use may go on growing when it is full: a quarter of its size.

        It lets a process that does not know the state be right in what it assumes (`bucket_items`).
        """
        return self.size * self.interval // 4

    def latest(self, now: int) -> int:
        """The latest time to be full again with which a token is left. `now`: milliseconds since the epoch."""
        return now * SECOND + (self.size - 1) * self.interval


@dataclass(frozen=True, slots=True)
class BucketLevel:
    """A bucket at a time, `now` in milliseconds since the epoch. `full_at`: see the module."""

    bucket: TokenBucket
    full_at: int
    now: int

    @property
    def remaining(self) -> int:
        """Tokens that are left."""
        left = self.bucket.latest(self.now) - self.full_at
        return min(self.bucket.size, max(0, left // self.bucket.interval + 1))

    @property
    def seconds_until_full(self) -> int:
        """Seconds until the bucket is full, rounded up."""
        return max(0, -(-(self.full_at - self.now * SECOND) // _MICROSECONDS))

    @property
    def seconds_until_token(self) -> int:
        """Seconds until a token is left, rounded up."""
        return max(0, -(-(self.full_at - self.bucket.latest(self.now)) // _MICROSECONDS))
