"""docs/front-doors.md says of each door what the code knows of it."""

from __future__ import annotations

import pytest

from coatcheck_infra.build import template_routes
from coatcheck_service.front_door import ALB, FUNCTION_URL, REST, UVICORN
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "front-doors.md").read_text()
DOORS = (REST, FUNCTION_URL, ALB, UVICORN)


def cells(row: str) -> list[str]:
    """The cells of a row of the page's table, without the first."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


@pytest.mark.parametrize(
    ("row", "limits"),
    [
        ("body of a request", [door.max_body for door in DOORS]),
        ("result in the answer", [door.inline_limit for door in DOORS]),
    ],
)
def test_the_table_has_the_limits(row: str, limits: list[int]) -> None:
    assert [cell.split(" bytes")[0] for cell in cells(row)] == [f"{limit:,}" for limit in limits]


def test_the_table_says_where_answers_stream() -> None:
    assert [cell.startswith("yes") for cell in cells("event streams")] == [not door.buffers for door in DOORS]


def test_the_table_says_who_authenticates() -> None:
    found = [
        {name for name, word in (("authorizer", "authorizer"), ("iam", "signatures")) if word in cell}
        for cell in cells("who authenticates")
    ]
    assert found == [set(door.vouches) for door in DOORS]


def test_the_table_has_the_time_that_the_template_gives_a_request() -> None:
    assert "timeoutInMillis: 29000" in template_routes.INTEGRATION
    assert cells("time of a request")[0].startswith("29 s")
