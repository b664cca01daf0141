"""A JSON result is JSON, whatever DuckDB's types hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from coatcheck import Outcome
from jobs.json_nan import BUFFER, write_null_for_nan

Query = Callable[..., Outcome]
Value = tuple[str, Any]


def no_json(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def strictly(body: bytes) -> Any:
    return json.loads(body, parse_constant=no_json)


# SQL, and what its JSON means
PLAIN: list[Value] = [
    ("'nan'::DOUBLE", None),
    ("'inf'::FLOAT", None),
    ("'-inf'::DOUBLE", None),
    ("0.5::DOUBLE", 0.5),
    ("5e-324::DOUBLE", 5e-324),
    ("NULL::DOUBLE", None),
    ("'infinity'::DATE", "infinity"),
    ("'-infinity'::TIMESTAMP", "-infinity"),
    ("'infinity'::TIMESTAMPTZ", "infinity"),
    ("'infinity'::TIMESTAMP_NS", "infinity"),
    ("'10:00:00+02'::TIMETZ", "10:00:00+02"),
    ("INTERVAL 1 MONTH", "1 month"),
    ("'a\\xff'::BLOB", "a\\xFF"),
    ("'101'::BIT", "101"),
    ("'9dfeefad-c614-4e10-9213-dd757ca8e7db'::UUID", "9dfeefad-c614-4e10-9213-dd757ca8e7db"),
    ("'NaN'::ENUM('NaN', 'inf')", "NaN"),
    ("1.50::DECIMAL(38, 2)", 1.5),
    ("(-170141183460469231731687303715884105727)::HUGEINT", -(2**127 - 1)),
    ("340282366920938463463374607431768211455::UHUGEINT", 2**128 - 1),
    ("123456789012345678901234567890123456789012::BIGNUM", 123456789012345678901234567890123456789012),
    ("true", True),
    ("'a \"NaN, \\\" -inf'", 'a "NaN, \\" -inf'),
    ("chr(0) || ',NaN,' || chr(8232)", "\0,NaN,\u2028"),
    ("'POINT(1 2)'::GEOMETRY", "POINT (1 2)"),
    ("""'{"a": [nan, -INF, Infinity, "NaN\\\\"], "NaN": 1,}'::JSON""", {"a": [None, None, None, "NaN\\"], "NaN": 1}),
    ("'[1, 2,]'::JSON", [1, 2]),
]


def nested(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    return st.one_of(
        inner.map(lambda v: (f"[{v[0]}, NULL]", [v[1], None])),
        inner.map(lambda v: (f"array_value({v[0]}, {v[0]})", [v[1], v[1]])),
        inner.map(lambda v: (f'struct_pack("a ""NaN" := {v[0]}, b := \'inf\')', {'a "NaN': v[1], "b": "inf"})),
        inner.map(lambda v: (f"row({v[0]}, 1)", [v[1], 1])),
        inner.map(lambda v: (f"MAP {{'NaN': {v[0]}}}", {"NaN": v[1]})),
        inner.map(lambda v: (f"MAP {{'nan'::DOUBLE: {v[0]}}}", {"nan": v[1]})),
        inner.map(lambda v: (f"union_value(u := {v[0]})", {"u": v[1]})),
        inner.map(lambda v: (f"to_json({v[0]})", v[1])),
        inner.map(lambda v: (f"json_object('k', {v[0]})", {"k": v[1]})),
    )


VALUES = st.recursive(st.sampled_from(PLAIN), nested, max_leaves=4)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(PLAIN)
@example([(f"({sql})::VARIANT", said) for sql, said in PLAIN[:8]])
@example([(f"[{sql}]::VARIANT", [said]) for sql, said in PLAIN[:5]])
@given(st.lists(VALUES, min_size=1, max_size=30))
def test_any_value_is_written_as_json(query: Query, values: list[Value]) -> None:
    sql = "SELECT " + ", ".join(f"{sql} AS v{number}" for number, (sql, _) in enumerate(values))
    (row,) = strictly(query(sql, form="json").body)
    assert list(row.values()) == [said for _, said in values]


@pytest.mark.parametrize("split", range(4))
def test_numbers_between_two_blocks_are_seen(tmp_path: Path, split: int) -> None:
    file = tmp_path / "result"
    start = b'{"a":"'
    file.write_bytes(start + b"x" * (BUFFER - len(start) - 5 - split) + b'","b":NaN}\n')
    write_null_for_nan(file)
    assert strictly(file.read_bytes())["b"] is None
