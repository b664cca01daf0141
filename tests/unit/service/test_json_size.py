"""How much there is in a JSON text: the count is what a parser would find."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.errors import PayloadTooLarge
from coatcheck_service.http.json_size import MAX_VALUES, check_value_count

TEXTS = st.text(st.sampled_from('a,:[{"\\\n'), max_size=8)
JSONS = st.recursive(
    st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=30
)


def pieces(value: Any) -> int:
    """Names and values; an empty list or object counts as if one thing were in it."""
    if isinstance(value, dict):
        return 1 + (sum(1 + pieces(inner) for inner in value.values()) or 1)
    if isinstance(value, list):
        return 1 + (sum(map(pieces, value)) or 1)
    return 1


@given(JSONS)
def test_the_count_is_of_names_and_values_outside_of_texts(value: Any) -> None:
    counted = pieces(value)
    text = json.dumps(value).encode()
    check_value_count(text, counted)
    with pytest.raises(PayloadTooLarge):
        check_value_count(text, counted - 1)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (b"[" + b",".join([b"1"] * (MAX_VALUES - 1)) + b"]", True),
        (b"[" + b",".join([b"1"] * MAX_VALUES) + b"]", False),
        (b'["' + b',:[{\\\\\\"' * MAX_VALUES + b'"]', True),
        (b'"' * 1_000_000, True),
        (b'["' + b'","' * MAX_VALUES + b'"]', False),
        (b'"' + b"\\" * 1_000_000, True),
        (b"[" * 1_000_000, False),
        (b"\0" * 1_000_000, True),
    ],
    ids=range(8),
)
def test_what_is_too_much(text: bytes, fits: bool) -> None:  # noqa: FBT001 - a row of the table
    if fits:
        check_value_count(text)
    else:
        with pytest.raises(PayloadTooLarge, match="50,000 names and values"):
            check_value_count(text)
