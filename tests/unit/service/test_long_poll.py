"""`Prefer: wait` and entity tags, as they are read from headers."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from fastapi import Request

from coatcheck_service.actions.long_poll import requested_wait
from coatcheck_service.http.etags import matches_etag
from coatcheck_service.tenant_slots import TenantSlots


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
    assert requested_wait(request("prefer", *values), 25) == seconds


def test_no_longer_than_the_deployment_lets_requests_wait() -> None:
    assert [requested_wait(request("prefer", "wait=20"), max_seconds) for max_seconds in (0, 5, 25)] == [0, 5, 20]


def test_so_many_wait_and_half_of_them_for_one_tenant() -> None:
    waits = TenantSlots()
    with ExitStack() as stack:
        asked = ["a", "a", "a", "b", "c", "c"]
        granted = [stack.enter_context(waits.acquire(tenant, limit=4)) for tenant in asked]
        assert granted == [True, True, False, True, True, False]
        assert not stack.enter_context(waits.acquire("d", limit=4))
    with waits.acquire("a", limit=1) as granted_again:
        assert granted_again
    with waits.acquire("a", limit=0) as never:
        assert not never


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
    assert matches_etag(request("if-none-match", *values), '"a"') is known
