"""What the service knows of its front doors, told by events that they have made."""

from __future__ import annotations

from typing import Any

import pytest

from coatcheck_service.front_door import ALB, FRONT_DOORS, FUNCTION_URL, MIB, REST, client_address, front_door_of
from tests.front_doors import ADDRESS, DOORS, RECORDED, door_event

DOOR_OF = {
    "alb": ALB,
    "alb-health-check": ALB,
    "alb-single-value": ALB,
    "function-url": FUNCTION_URL,
    "function-url-iam": FUNCTION_URL,
    "rest": REST,
}


def test_each_recorded_event_has_a_door() -> None:
    assert {name: front_door_of(event) for name, event in RECORDED.items()} == DOOR_OF


@pytest.mark.parametrize("name", RECORDED)
def test_the_clients_address_is_what_the_door_saw(name: str) -> None:
    # what the client says of itself, 198.51.100.9, is never taken
    assert client_address(RECORDED[name]) == (None if name == "alb-health-check" else ADDRESS)


@pytest.mark.parametrize(
    "event", [{}, {"requestContext": None}, {"requestContext": {"identity": None}, "headers": None}]
)
def test_an_event_that_says_nothing_has_no_address(event: dict[str, Any]) -> None:
    assert (front_door_of(event), client_address(event)) == (REST, None)


def members(value: Any) -> Any:
    """The names within an event, but for those of headers, which clients choose."""
    if not isinstance(value, dict):
        return type(value).__name__
    return {name: ... if name.lower().endswith("headers") else members(one) for name, one in value.items()}


@pytest.mark.parametrize("door", DOORS)
def test_events_are_made_like_those_that_were_recorded(door: str) -> None:
    made = door_event(door, "GET", "/v1/health", authorization="Bearer KEY", accept="*/*", user_agent="curl/8.5.0")
    assert members(made) == members(RECORDED[door])


def test_a_door_vouches_for_nobody_whom_it_does_not_authenticate() -> None:
    assert {name: sorted(door.vouches) for name, door in FRONT_DOORS.items()} == {
        "rest": ["authorizer", "iam"],
        "function-url": ["iam"],
        "alb": [],
        "uvicorn": [],
    }


def test_what_a_load_balancer_carries_is_a_megabyte_with_all_that_is_around_it() -> None:
    assert ALB.inline_limit * 4 / 3 < MIB - 60_000
    assert ALB.max_body == MIB
