"""docs/limits.md lists the limits of a request: each is what the code enforces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coatcheck.core.api.models import (
    MAX_LABEL_LENGTH,
    MAX_LABEL_NAME_LENGTH,
    MAX_LABELS,
    MAX_SECONDS_AHEAD,
    SubmitRequest,
)
from coatcheck.core.errors import InvalidRequest, MalformedJson, PayloadTooLarge, ServiceError
from coatcheck.core.part_plan import UPLOAD_LIMIT
from coatcheck.core.settings import Settings
from coatcheck.core.ssrf import MAX_URL_LENGTH
from coatcheck.core.tenant_limits import TenantLimits
from coatcheck_service.actions.job_inputs import MAX_UPLOADS
from coatcheck_service.http.body import MAX_DEPTH, MAX_DIGITS, parse
from coatcheck_service.http.json_size import MAX_VALUES
from coatcheck_service.http.problems import STATUS
from coatcheck_service.http_server import MAX_CONNECTIONS, MAX_HEADER_BYTES, GuardedProtocol

PAGE = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")

ROWS = (
    ("bytes of JSON", Settings.model_fields["max_json_bytes"].default, PayloadTooLarge),
    ("names and values in it", MAX_VALUES, PayloadTooLarge),
    ("arrays and objects within each other", MAX_DEPTH, MalformedJson),
    ("digits of an integer", MAX_DIGITS, MalformedJson),
    ("labels in `metadata`", MAX_LABELS, InvalidRequest),
    ("characters of a label's name", MAX_LABEL_NAME_LENGTH, InvalidRequest),
    ("characters of a label's value", MAX_LABEL_LENGTH, InvalidRequest),
    ("seconds of `delay`, `queue_ttl` and until `run_at`", MAX_SECONDS_AHEAD, InvalidRequest),
    ("characters of a webhook's URL", MAX_URL_LENGTH, InvalidRequest),
    ("uploads that an input names", MAX_UPLOADS, InvalidRequest),
    ("bytes of an upload", UPLOAD_LIMIT, InvalidRequest),
)


@pytest.mark.parametrize(("what", "most", "error"), ROWS, ids=[row[0] for row in ROWS])
def test_the_page_has_it(what: str, most: int, error: type[ServiceError]) -> None:
    assert f"| {what} | {most:,} | {STATUS[error]} `{error.code}` |\n" in PAGE


def test_the_page_has_every_limit_of_a_tenant() -> None:
    for name in TenantLimits.__dataclass_fields__:
        assert f"\n| `{name}` |" in PAGE


def test_the_page_has_the_limits_of_a_connection() -> None:
    for text in (
        f"{GuardedProtocol.header_seconds:g} seconds",
        f"{GuardedProtocol.body_seconds:g} seconds",
        f"{MAX_HEADER_BYTES // 1024} KB",
        f"{MAX_CONNECTIONS} connections",
    ):
        assert text in PAGE


def submit(value: Any, **more: Any) -> SubmitRequest:
    return parse(SubmitRequest, json.dumps({"type": "t", "input": value} | more).encode())


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


LABELS = {f"n{number}": "" for number in range(MAX_LABELS)}

EDGES = (
    ("values", ["x"] * (MAX_VALUES - 10), ["x"] * MAX_VALUES, PayloadTooLarge),
    ("depth", nested(MAX_DEPTH - 1), nested(MAX_DEPTH), MalformedJson),
    ("digits", 10 ** (MAX_DIGITS - 1), 10**MAX_DIGITS, MalformedJson),
)


@pytest.mark.parametrize(("within", "beyond", "error"), [edge[1:] for edge in EDGES], ids=[edge[0] for edge in EDGES])
def test_an_input_at_the_limit_and_beyond(within: Any, beyond: Any, error: type[ServiceError]) -> None:
    assert submit(within).input == within
    with pytest.raises(error):
        submit(beyond)


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        ({"metadata": LABELS}, {"metadata": LABELS | {"one": "more"}}),
        ({"metadata": {"n" * MAX_LABEL_NAME_LENGTH: ""}}, {"metadata": {"n" * (MAX_LABEL_NAME_LENGTH + 1): ""}}),
        ({"metadata": {"n": "v" * MAX_LABEL_LENGTH}}, {"metadata": {"n": "v" * (MAX_LABEL_LENGTH + 1)}}),
        ({"delay": MAX_SECONDS_AHEAD}, {"delay": MAX_SECONDS_AHEAD + 1}),
        ({"queue_ttl": MAX_SECONDS_AHEAD}, {"queue_ttl": MAX_SECONDS_AHEAD + 1}),
    ],
    ids=["labels", "name", "value", "delay", "queue_ttl"],
)
def test_a_field_at_the_limit_and_beyond(within: dict[str, Any], beyond: dict[str, Any]) -> None:
    submit(1, **within)
    with pytest.raises(InvalidRequest):
        submit(1, **beyond)
