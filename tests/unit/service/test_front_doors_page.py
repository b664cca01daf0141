"""docs/front-doors.md says of each door what the code knows of it."""

from __future__ import annotations

import pytest

from coatcheck_infra.build import template_routes
from coatcheck_infra.project.template_streaming import SECONDS
from coatcheck_service.front_door import ALB, FUNCTION_URL, REST, STREAMED, UVICORN
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "front-doors.md").read_text()
DOORS_TABLE, STREAMING_TABLE = PAGE.split("\n## Answers that stream\n")
DOORS = (REST, FUNCTION_URL, ALB, UVICORN)


def cells(row: str, table: str = DOORS_TABLE) -> list[str]:
    """The cells of a row of one of the page's tables, without the first."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {row}"))
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


def test_the_table_of_streaming_says_what_it_changes() -> None:
    without, streamed = cells("result in the answer", STREAMING_TABLE)
    assert without == f"{REST.inline_limit:,} bytes"
    assert streamed.startswith(f"{STREAMED.inline_limit:,} bytes")
    assert cells("body of a request", STREAMING_TABLE) == [f"{STREAMED.max_body:,} bytes", "the same"]
    assert STREAMED.max_body == REST.max_body
    assert cells("time of a request", STREAMING_TABLE)[1] == f"{SECONDS} s"
