"""One range of bytes, or all of them."""

from __future__ import annotations

import pytest
from fastapi import Request

from coatcheck.core.errors import RangeNotSatisfiable
from coatcheck_service.http.ranges import ByteRange, requested_range

TAG = '"tag"'


def request(*ranges: str, head: bool = False, if_range: str | None = None) -> Request:
    """A request for these ranges."""
    headers = [(b"range", one.encode()) for one in ranges]
    if if_range is not None:
        headers.append((b"if-range", if_range.encode()))
    return Request({"type": "http", "method": "GET", "headers": headers, "state": {"head": head}})


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ("bytes=0-", 0, 9),
        ("bytes=4-", 4, 9),
        ("bytes=9-", 9, 9),
        ("bytes=0-0", 0, 0),
        ("bytes=2-5", 2, 5),
        ("bytes=2-500", 2, 9),
        ("bytes=-3", 7, 9),
        ("bytes=-30", 0, 9),
        ("BYTES=\t4- ", 4, 9),
        ("bytes=0-999999999999999999", 0, 9),
    ],
)
def test_one_range(given: str, first: int, last: int) -> None:
    assert requested_range(request(given), TAG, 10) == ByteRange(first, last, 10)
    assert requested_range(request(given, if_range=TAG), TAG, 10) == ByteRange(first, last, 10)


@pytest.mark.parametrize("given", ["bytes=10-", "bytes=10-20", "bytes=999999999999999999-", "bytes=-0"])
def test_what_begins_behind_the_end(given: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_range(request(given), TAG, 10)


@pytest.mark.parametrize(
    "given",
    [
        *("bytes=0-1,4-5", "bytes=5-4", "bytes=-", "bytes=", "bytes", "", "items=0-1", "bytes=a-b", "bytes=0x1-2"),
        *("bytes=+1-2", "bytes=1--2", "bytes=1 -2", "bytes=٣-", "bytes=" + "9" * 5000 + "-", "bytes = 0-1"),
    ],
)
def test_what_is_no_range_is_all(given: str) -> None:
    assert requested_range(request(given), TAG, 10) is None


def test_two_headers_are_no_range() -> None:
    assert requested_range(request("bytes=0-1", "bytes=0-1"), TAG, 10) is None


@pytest.mark.parametrize(
    "known", ['"other"', 'W/"tag"', "tag", "Sat, 28 Nov 2026 00:00:00 GMT", '"tag", "tag"', "*", ""]
)
def test_a_piece_of_another_version_is_no_use(known: str) -> None:
    assert requested_range(request("bytes=4-", if_range=known), TAG, 10) is None


def test_nothing_has_no_pieces() -> None:
    assert requested_range(request("bytes=-5"), TAG, 0) is None
    with pytest.raises(RangeNotSatisfiable):
        requested_range(request("bytes=0-"), TAG, 0)


def test_head_has_no_ranges() -> None:
    assert requested_range(request("bytes=4-", head=True), TAG, 10) is None
