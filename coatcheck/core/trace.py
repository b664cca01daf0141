"""The trace that a request and its job belong to: W3C Trace Context, and X-Ray's header on AWS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

SIZE = 25
"""Bytes of a packed context: 16 of the trace's id, 8 of the span's, 1 of flags."""

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)

# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_XRAY_ROOT = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;|$)")
_XRAY_PARENT = re.compile(r"(?:^|;)\s*Parent=([0-9a-f]{16})(?:;|$)")
_XRAY_SAMPLED = re.compile(r"(?:^|;)\s*Sampled=1(?:;|$)")

_SAMPLED = 1
"""The one flag that is defined."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and the span in it that others continue.

    `trace_id` is 32 hex digits, the same for X-Ray, which writes it `1-{8 digits}-{24 digits}`. `span_id` is 16 hex
    digits.
    """

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        """The W3C header that hands it on."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"

    def pack(self) -> bytes:
        """It as `SIZE` bytes, for a row."""
        return bytes.fromhex(self.trace_id + self.span_id) + bytes([_SAMPLED if self.sampled else 0])

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """What `pack` has made; a newer version may add bytes."""
        return cls(packed[:16].hex(), packed[16:24].hex(), bool(packed[24] & _SAMPLED))


def parse_traceparent(text: str) -> TraceContext | None:
    """The context in a W3C `traceparent`; None if it is none. Of a newer version, the part that is known."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (text.startswith("00") and found[4]):
        return None
    return TraceContext(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def parse_xray(text: str) -> TraceContext | None:
    """The context in an `X-Amzn-Trace-Id`, as API Gateway and load balancers send it; None if it is none.

    Without a `Parent` the trace has no span yet; its id then stands for one, as a span needs an id.
    """
    root = _XRAY_ROOT.search(text)
    if root is None:
        return None
    parent, trace_id = _XRAY_PARENT.search(text), root[1] + root[2]
    found = TraceContext(trace_id, parent[1] if parent else trace_id[-16:], bool(_XRAY_SAMPLED.search(text)))
    # ids of zeros are none
    return parse_traceparent(found.traceparent)


def incoming(*, traceparent: str | None = None, xray: str | None = None) -> TraceContext | None:
    """The context that a request brings along: the client's own, else that of AWS's front door."""
    return (parse_traceparent(traceparent) if traceparent else None) or (parse_xray(xray) if xray else None)
