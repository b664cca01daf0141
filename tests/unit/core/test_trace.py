"""The trace that a request brings along, whatever its headers say."""

from __future__ import annotations

from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.trace import SIZE, TraceContext, incoming, parse_traceparent, parse_xray

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

CONTEXTS = st.builds(
    TraceContext,
    st.binary(min_size=16, max_size=16).filter(any).map(bytes.hex),
    st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex),
    st.booleans(),
)


@given(CONTEXTS)
def test_a_context_survives_its_header_and_its_row(context: TraceContext) -> None:
    assert parse_traceparent(context.traceparent) == context
    assert len(context.pack()) == SIZE
    assert TraceContext.unpack(context.pack()) == context
    assert TraceContext.unpack(context.pack() + b"of a newer version") == context


@given(
    st.text(printable, max_size=80)
    | st.from_regex(r"0[0f]-[0f]{32}-[0f]{16}-0[01]", fullmatch=True)
    | st.from_regex(r"Root=1-[0f]{8}-[0f]{24}(;Parent=[0f]{16})?", fullmatch=True)
)
def test_what_is_taken_can_be_handed_on(text: str) -> None:
    for context in (parse_traceparent(text), parse_xray(text)):
        assert context is None or parse_traceparent(context.traceparent) == context


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"cc-{TRACE}-{SPAN}-01-what.the-future-will.be", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f" 00-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
    ],
)
def test_a_traceparent_is_taken_in_its_form_alone(text: str, *, taken: bool) -> None:
    assert (parse_traceparent(text) is not None) is taken


def test_an_x_ray_header_without_a_parent_has_a_trace_all_the_same() -> None:
    context = incoming(xray="Root=1-5759e988-bd862e3fe1be46a994272793")
    assert context == TraceContext("5759e988bd862e3fe1be46a994272793", "e1be46a994272793", sampled=False)
    context = incoming(xray="Self=1-6;Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
    assert context == TraceContext("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", sampled=True)


def test_the_clients_own_trace_comes_before_that_of_the_front_door() -> None:
    xray = "Root=1-5759e988-bd862e3fe1be46a994272793"
    found = incoming(traceparent=f"00-{TRACE}-{SPAN}-01", xray=xray)
    assert found is not None
    assert found.trace_id == TRACE
    fallback = incoming(traceparent="nonsense", xray=xray)
    assert fallback is not None
    assert fallback.trace_id.startswith("5759e988")
