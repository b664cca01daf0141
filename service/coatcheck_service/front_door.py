"""The server or gateway between the clients and the service, and its limits."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """Limits in bytes: of a result that is sent in the response (`inline_limit`) and of a request (`max_body`).

    `buffers` is true when a response is sent in one piece: reading it whole first costs nothing then, and shows
    errors in time.
    """

    name: str
    inline_limit: int
    max_body: int
    buffers: bool = False


UVICORN = FrontDoor("uvicorn", inline_limit=10 * MIB, max_body=10 * MIB)

# Lambda allows 6 MB either way, as JSON: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# Base64 makes four bytes of three; 64 KB are left for the headers, which a request has twice.
_IN_BASE64 = (6 * MIB - 64 * 1024) * 3 // 4
LAMBDA = FrontDoor("lambda", inline_limit=_IN_BASE64, max_body=_IN_BASE64, buffers=True)
