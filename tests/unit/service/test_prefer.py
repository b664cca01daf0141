"""`Prefer: wait` and entity tags, as they are read from headers."""

from __future__ import annotations

import pytest
from fastapi import Request

from service.etags import is_known
from service.prefer import wait_asked


def request(name: str, *values: str) -> Request:
    """A request with one header, once for each value."""
    return Request({"type": "http", "headers": [(name.encode(), value.encode()) for value in values]})


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ((), None),
        (("wait=5",), 5),
        (("wait=0",), 0),
        (("wait=999999999",), 25),
        (("WAIT = 7",), 7),
        (('wait="7"',), 7),
        (("wait=7; foo=bar",), 7),
        (("respond-async, wait=7",), 7),
        (("respond-async", "wait=7"), 7),
        (('note="a, wait=9", wait=7',), 7),
        (("wait=7, wait=9",), 7),
        (("wait",), None),
        (("wait=",), None),
        (("wait=-7",), None),
        (("wait=7.5",), None),
        (("wait=\u0667",), None),
        (("awaits=7",), None),
        (("foo; wait=7",), None),
        (('"' * 10_000,), None),
    ],
)
def test_the_seconds_to_wait(values: tuple[str, ...], seconds: int | None) -> None:
    assert wait_asked(request("prefer", *values)) == seconds


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ((), False),
        (('"a"',), True),
        (('W/"a"',), True),
        (('"b", "a"',), True),
        (('"b"', '"a"'), True),
        (("*",), True),
        (("a",), False),
        (('"ab"',), False),
        (('"',), False),
    ],
)
def test_whether_a_tag_is_known(values: tuple[str, ...], known: bool) -> None:  # noqa: FBT001
    assert is_known(request("if-none-match", *values), '"a"') is known
