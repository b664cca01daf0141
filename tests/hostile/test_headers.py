"""Headers as long as a server takes them, made to be slow to read: one request must not hold up all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest
from fastapi import Request

from coatcheck.core.errors import ServiceError
from coatcheck.core.trace import incoming
from coatcheck_service.actions.long_poll import requested_wait
from coatcheck_service.http.etags import matches_etag
from coatcheck_service.http.event_stream import wants_stream
from coatcheck_service.http.media_types import require_json
from coatcheck_service.http.ranges import requested_range

LENGTH = 60_000
"""Characters. uvicorn takes 64 KB of headers, API Gateway 10."""

LIMIT = 1.0
"""Seconds of this thread's CPU: linear work takes a tenth of it at most, and quadratic work a minute."""

READERS: Mapping[str, Callable[[Request], object]] = {
    "prefer": lambda request: requested_wait(request, 25),
    "if-none-match": lambda request: matches_etag(request, '"etag"'),
    "accept": wants_stream,
    "content-type": require_json,
    "x-amzn-trace-id": lambda request: incoming(xray=request.headers["x-amzn-trace-id"]),
    "traceparent": lambda request: incoming(traceparent=request.headers["traceparent"]),
    "range": lambda request: requested_range(request, '"etag"', 10),
}
"""What reads a header of clients, by its name."""

PIECES = (
    '"', '"\\', '\\"', "\\", ",", ";", "=", " ", "\t", "a", "9", "W/", 'W/"', '",', '"a"', ";a=b", ';a="', "1.", "q=1;",
    "; ", "a,", "wait=1,", 'wait="', "bytes=", "0-", "-",
)  # fmt: skip
"""What a header consists of, again and again."""

BEGINNINGS = ("", '"', "application/json", 'application/json;a="', "bytes=", 'wait="', "a;q=", 'W/"')


@pytest.mark.parametrize("name", READERS)
def test_a_long_header_is_read_in_no_time(name: str) -> None:
    began = time.thread_time()
    for beginning in BEGINNINGS:
        for piece in PIECES:
            value = beginning + piece * (LENGTH // len(piece))
            scope = {"type": "http", "headers": [(name.encode(), value.encode())], "state": {"head": False}}
            with suppress(ServiceError):
                READERS[name](Request(scope))
            taken = time.thread_time() - began
            assert taken < LIMIT, f"{beginning!r}, then {piece!r}"
            began += taken
