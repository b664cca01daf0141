"""How files are cut into parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.part_plan import MAX_PARTS, MIN_PART_SIZE, SINGLE_PART_LIMIT, UPLOAD_LIMIT, PartPlan, use_multipart

SIZES = st.integers(1, UPLOAD_LIMIT)


@given(SIZES)
def test_parts_cover_a_file_and_s3_takes_them(size: int) -> None:
    parts = PartPlan.of(size)
    assert parts.part_size % 1024**2 == 0
    assert MIN_PART_SIZE <= parts.part_size <= SINGLE_PART_LIMIT
    assert 1 <= parts.count <= MAX_PARTS
    assert parts.start(1) == 0
    assert parts.start(parts.count) + parts.length(parts.count) == size
    assert 1 <= parts.length(parts.count) <= parts.part_size


@given(SIZES, st.data())
def test_each_part_begins_where_the_one_before_ends(size: int, data: st.DataObject) -> None:
    parts = PartPlan.of(size)
    number = data.draw(st.integers(1, parts.count))
    assert parts.start(number) == (number - 1) * parts.part_size
    assert (parts.length(number) == parts.part_size) or number == parts.count


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (SINGLE_PART_LIMIT, False, False),
        (SINGLE_PART_LIMIT + 1, False, True),
        (MIN_PART_SIZE, True, False),
        (MIN_PART_SIZE + 1, True, True),
        (0, True, False),
    ],
)
def test_what_goes_in_parts(size: int, *, asked: bool, expected: bool) -> None:
    assert use_multipart(size, requested=asked) is expected
