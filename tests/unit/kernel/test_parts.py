"""How files are cut into parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.parts import MOST_PARTS, SINGLE_PART_LIMIT, SMALLEST_PART, UPLOAD_LIMIT, Parts, in_parts

SIZES = st.integers(1, UPLOAD_LIMIT)


@given(SIZES)
def test_parts_cover_a_file_and_s3_takes_them(size: int) -> None:
    parts = Parts.of(size)
    assert parts.each % 1024**2 == 0
    assert SMALLEST_PART <= parts.each <= SINGLE_PART_LIMIT
    assert 1 <= parts.count <= MOST_PARTS
    assert parts.start(1) == 0
    assert parts.start(parts.count) + parts.length(parts.count) == size
    assert 1 <= parts.length(parts.count) <= parts.each


@given(SIZES, st.data())
def test_each_part_begins_where_the_one_before_ends(size: int, data: st.DataObject) -> None:
    parts = Parts.of(size)
    number = data.draw(st.integers(1, parts.count))
    assert parts.start(number) == (number - 1) * parts.each
    assert (parts.length(number) == parts.each) or number == parts.count


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (SINGLE_PART_LIMIT, False, False),
        (SINGLE_PART_LIMIT + 1, False, True),
        (SMALLEST_PART, True, False),
        (SMALLEST_PART + 1, True, True),
        (0, True, False),
    ],
)
def test_what_goes_in_parts(size: int, *, asked: bool, expected: bool) -> None:
    assert in_parts(size, asked=asked) is expected
