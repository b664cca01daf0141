"""The fields that tell a client its rate: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10"""

from __future__ import annotations

from coatcheck.core.token_bucket import BucketLevel

RATE_LIMIT = "RateLimit"
RATE_LIMIT_POLICY = "RateLimit-Policy"

_POLICY = '"submits"'


def rate_limit_headers(level: BucketLevel) -> dict[str, str]:
    """Return how many submits are left (`r`), in how many seconds all are (`t`), of how many (`q`) in how long (`w`).

    Both are lists of one item, in structured fields (RFC 9651).
    """
    bucket = level.bucket
    return {
        RATE_LIMIT_POLICY: f"{_POLICY};q={bucket.size};w={bucket.seconds}",
        RATE_LIMIT: f"{_POLICY};r={level.remaining};t={level.seconds_until_full}",
    }
