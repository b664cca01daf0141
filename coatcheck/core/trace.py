"""The id of the trace that a request belongs to, as clients and AWS hand it on."""

from __future__ import annotations

import re

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_XRAY = re.compile(r"(?:^|;)\s*Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)")

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(*, traceparent: str | None = None, xray: str | None = None) -> str | None:
    """The id in a W3C `traceparent`, else in an `X-Amzn-Trace-Id`; None where neither holds one of its form."""
    if found := _TRACEPARENT.fullmatch(traceparent or ""):
        return found[1]
    found = _XRAY.search(xray or "")
    return found[1] if found else None
