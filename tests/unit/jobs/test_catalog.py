from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import ValidationError

from coatcheck import JobType
from coatcheck.authoring.loading import check_handler
from tests.example_jobs import CATALOG, MODULES

UPLOAD = {"$upload": "upl_a"}


@pytest.mark.parametrize("job_type", CATALOG.values(), ids=lambda job_type: job_type.name)
def test_every_type_has_its_handler(job_type: JobType[Any, Any]) -> None:
    check_handler(job_type)


def test_the_api_imports_nothing_a_handler_needs() -> None:
    seen = subprocess.run(
        [
            *(sys.executable, "-c"),
            f"import {', '.join(MODULES)}, sys; print('duckdb' in sys.modules, 'PIL' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("job_type", CATALOG.values(), ids=lambda job_type: job_type.name)
def test_a_schema_tells_clients_all_they_need(job_type: JobType[Any, Any]) -> None:
    schema = job_type.input.model_json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert all("description" in field for field in schema["properties"].values())
    assert schema["examples"]
    for example in schema["examples"]:
        Draft202012Validator(schema).validate(example)
        job_type.input.model_validate(example)
    assert job_type.title
    assert job_type.description


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("table.query", {"sql": "SELECT 1", "extra": 1}),
        ("table.query", {"sql": ""}),
        ("table.query", {"sql": "S" * 100_001}),
        ("table.query", {"sql": 1}),
        ("table.query", {"sql": "SELECT 1", "format": "xlsx"}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a b": UPLOAD}}),
        ("table.query", {"sql": "SELECT 1", "tables": {'a"; DROP': UPLOAD}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a\n": UPLOAD}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"1a": UPLOAD}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a" * 64: UPLOAD}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD, "A": UPLOAD}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": "upl_a"}}),
        ("table.query", {"sql": "SELECT 1", "tables": {f"t{n}": UPLOAD for n in range(21)}}),
        ("table.query", {"sql": "SELECT 1", "csv": {"a": {}}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD}, "csv": {"a": {"delimiter": ";;"}}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD}, "csv": {"a": {"delimiter": "\n"}}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD}, "csv": {"a": {"delimiter": "'", "quote": "'"}}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD}, "csv": {"a": {"encoding": "utf-7"}}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD}, "csv": {"a": {"nulls": []}}}),
        ("table.query", {"sql": "SELECT 1", "tables": {"a": UPLOAD}, "csv": {"a": {"skip": 1}}}),
        ("image.thumbnails", {"images": []}),
        ("image.thumbnails", {"images": [UPLOAD] * 51}),
        ("image.thumbnails", {"images": [UPLOAD], "size": 15}),
        ("image.thumbnails", {"images": [UPLOAD], "size": 1025}),
        ("image.thumbnails", {"images": [UPLOAD], "size": "256"}),
        ("image.thumbnails", {"images": [{"$upload": "../etc"}]}),
        ("demo.sleep", {}),
        ("demo.sleep", {"seconds": -1}),
        ("demo.sleep", {"seconds": 86_401}),
        ("demo.sleep", {"seconds": float("nan")}),
        ("demo.sleep", {"seconds": 1, "steps": 0}),
        ("demo.sleep", {"seconds": 1, "steps": True}),
        ("demo.sleep", {"seconds": 1, "fail": "badly"}),
        ("demo.sleep", {"seconds": 1, "fail_attempts": 0}),
        ("demo.bytes", {"size": -1}),
        ("demo.bytes", {"size": 6 * 1024**3 + 1}),
        ("demo.bytes", {"size": 1, "seed": -1}),
        ("demo.bytes", {"size": 1, "content_type": "text"}),
        ("demo.bytes", {"size": 1, "content_type": "text/html\r\nSet-Cookie: a=b"}),
        ("demo.bytes", {"size": 1, "content_type": "text/html\n"}),
    ],
)
def test_bad_input_is_refused(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CATALOG[name].input.model_validate(given)


def test_limits_are_inclusive() -> None:
    CATALOG["image.thumbnails"].input.model_validate({"images": [UPLOAD] * 50, "size": 1024})
    CATALOG["demo.bytes"].input.model_validate({"size": 6 * 1024**3, "content_type": "text/plain; charset=utf-8"})
    CATALOG["demo.sleep"].input.model_validate({"seconds": 86_400, "steps": 1000})
