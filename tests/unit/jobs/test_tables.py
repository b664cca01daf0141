from __future__ import annotations

import csv
import io
import json
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coatcheck import Outcome, Reject, Result
from coatcheck.confined import ConfinedContext
from jobs import query_process
from jobs.models import CsvOptions
from jobs.query_errors import QueryError

Query = Callable[..., Outcome]
REQUEST = {"memory": 512 * 1024**2, "disk": 1024**3, "threads": 2, "csv": {"t": CsvOptions().model_dump()}}
PEOPLE = b"name,age\nAda,36\nGrace,85\n"


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        ("csv", "text/csv; charset=utf-8", b"name,age\nGrace,85\nAda,36\n"),
        ("json", "application/json", b'[\n\t{"name":"Grace","age":85},\n\t{"name":"Ada","age":36}\n]\n'),
    ],
)
def test_rows_come_in_the_format_asked_for(query: Query, form: str, content_type: str, body: bytes) -> None:
    outcome = query("SELECT * FROM people ORDER BY age DESC;", {"people": PEOPLE}, form)
    assert outcome.body == body
    assert isinstance(outcome.output, Result)
    assert (outcome.output.content_type, outcome.output.filename) == (content_type, f"result.{form}")
    assert outcome.progress == [(0, "loading people"), (0.5, "running the query")]


def test_a_parquet_result_is_a_parquet_input(query: Query) -> None:
    made = query("SELECT * FROM people", {"people": PEOPLE}, "parquet")
    assert isinstance(made.output, Result)
    assert made.output.content_type == "application/vnd.apache.parquet"
    assert made.body[:4] == made.body[-4:] == b"PAR1"
    again = query(
        "SELECT name, age + 1 AS next, typeof(age) AS type FROM old JOIN people USING (name, age) ORDER BY name",
        {"old": made.body, "people": PEOPLE},
    )
    assert again.body == b"name,next,type\nAda,37,BIGINT\nGrace,86,BIGINT\n"


def test_a_large_table_comes_out_as_it_went_in(query: Query, flights: Path) -> None:
    # all but the way a time is written: 2013-01-01T10:00:00Z becomes 2013-01-01 10:00:00+00
    expected = re.sub(rb"(-\d\d)T(\d\d:\d\d:\d\d)Z\n", rb"\1 \2+00\n", flights.read_bytes())
    assert expected.count(b"\n") == 336_777
    assert query("SELECT * FROM flights", {"flights": flights}).body == expected


@pytest.mark.parametrize(
    "sql",
    ["FROM t", "TABLE t", "VALUES (1)", "SUMMARIZE t", "DESCRIBE t", "SHOW TABLES", "WITH a AS (FROM t) FROM a",
     "(SELECT 1) UNION ALL (SELECT 2)", "SELECT 1 -- one", "SELECT 1 /* one */ ; ", "SELECT ';'",
     "SELECT 1; -- one", "; SELECT 'é;' /* ; */ ;; -- x;\n ; /* y; */", 'SELECT $$;$$ AS "a;"; -- é',
     "PIVOT t ON name IN ('Ada') USING sum(age)", "UNPIVOT t ON age INTO NAME n VALUE v"],
)  # fmt: skip
def test_whatever_reads_is_run(query: Query, sql: str) -> None:
    assert query(sql, {"t": PEOPLE}).body.count(b"\n") > 1


VALUES = [
    ("NULL", "", None),
    ("''", '""', ""),
    ("'NULL'", "NULL", "NULL"),
    ("1.10::DECIMAL(5,2)", "1.10", 1.1),
    ("170141183460469231731687303715884105727", "170141183460469231731687303715884105727", 2**127 - 1),
    ("9007199254740993", "9007199254740993", 9007199254740993),
    ("1e300", "1e+300", 1e300),
    ("'-inf'::DOUBLE", "-inf", None),
    ("DATE '2013-01-31'", "2013-01-31", "2013-01-31"),
    ("TIMESTAMP '2013-01-31 10:20:30.5'", "2013-01-31 10:20:30.5", "2013-01-31 10:20:30.5"),
    ("TIMESTAMPTZ '2013-01-31 10:20:30+02'", "2013-01-31 08:20:30+00", "2013-01-31 08:20:30+00"),
    ("true", "true", True),
    ("[1, NULL, 3]", '"[1, NULL, 3]"', [1, None, 3]),
    ("{'a': 'x,y'}", "\"{'a': 'x,y'}\"", {"a": "x,y"}),
    ("' a\"b '", '" a""b "', ' a"b '),
    ("'a,b'", '"a,b"', "a,b"),
    ("chr(13) || 'a'", '"\ra"', "\ra"),
    ("'\N{SNOWMAN}'", "\N{SNOWMAN}", "\N{SNOWMAN}"),
]


def test_values_are_written_so_that_others_read_them(query: Query) -> None:
    sql = "SELECT " + ", ".join(f"{value} AS v{number}" for number, (value, _, _) in enumerate(VALUES))
    names, line = query(sql).body.decode().split("\n", 1)
    assert names == ",".join(f"v{number}" for number in range(len(VALUES)))
    assert line == ",".join(as_csv for _, as_csv, _ in VALUES) + "\n"
    (row,) = json.loads(query(sql, form="json").body)
    assert list(row.values()) == [as_json for _, _, as_json in VALUES]


def strict(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_json_has_no_numbers_that_json_lacks(query: Query) -> None:
    sql = """
        SELECT x AS plain, x::FLOAT AS single, [x, 1.5, NULL] AS list, [[x], NULL] AS nested,
               [x, 1.5]::DOUBLE[2] AS pair, {'"a b"': x, 'b': [x], 'c': 'NaN'} AS struct,
               MAP {'k': x} AS map, NULL::STRUCT(x DOUBLE) AS "no ""one", 'NaN' AS text, 1.5 AS fine
        FROM (VALUES ('nan'::DOUBLE), ('inf'), ('-inf'), (0.5)) t(x)"""
    rows = json.loads(query(sql, form="json").body, parse_constant=strict)
    assert rows == [
        {"plain": x, "single": x, "list": [x, 1.5, None], "nested": [[x], None], "pair": [x, 1.5],
         "struct": {'"a b"': x, "b": [x], "c": "NaN"}, "map": {"k": x}, 'no "one': None, "text": "NaN", "fine": 1.5}
        for x in (None, None, None, 0.5)
    ]  # fmt: skip


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
CELL = st.one_of(TEXT, st.text("\"',;\r\n\t\\ |ab", max_size=6))
ROW = st.tuples(CELL, CELL, st.integers(-(2**63), 2**63 - 1), st.decimals(-9999, 9999, places=3))


def literal(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else f"{value}"


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=1, max_size=80))
def test_any_text_survives_csv_and_json(query: Query, rows: list[tuple[str, str, int, Decimal]]) -> None:
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    sql = f"SELECT a, b, c::BIGINT AS c, d::DECIMAL(10, 3) AS d FROM (VALUES {values}) t(a, b, c, d)"
    read = csv.reader(io.StringIO(query(sql).body.decode(), newline=""), strict=True)
    assert next(read) == ["a", "b", "c", "d"]
    assert [(a, b, int(c), Decimal(d)) for a, b, c, d in read] == rows
    objects = json.loads(query(sql, form="json").body, parse_float=Decimal)
    assert [(o["a"], o["b"], o["c"], Decimal(o["d"])) for o in objects] == rows


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"", "table t: it is empty"),
        (b"PK\x03\x04rest", "table t: it is a zip archive: upload the CSV or Parquet file that is inside"),
        (b"\x1f\x8brest", "table t: it is a gzip file: upload the CSV or Parquet file that is inside"),
        (b"PAR1\x15\0\x15\x80 and then nothing", "table t: it is a Parquet file that is cut short or damaged"),
        (b"a,b\n1,2\n\xff\xfe,3\n", "table t: "),
        (bytes(range(256)) * 8, "table t: "),
    ],
)
def test_a_file_that_is_no_table_is_named(query: Query, tmp_path: Path, table: bytes, reason: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(table)
    with pytest.raises(Reject) as rejected:
        query("FROM t", {"t": path})
    assert rejected.value.reason.startswith(reason)
    assert str(tmp_path) not in rejected.value.reason


def damaged() -> Iterator[bytes]:
    """A Parquet file cut short in many places, with its own end and without, and with single bytes changed."""
    with duckdb.connect() as base, tempfile.NamedTemporaryFile() as file:
        rows = "SELECT range AS a, 'x' || range AS b, [range] AS c FROM range(3000)"
        base.execute(f"COPY ({rows}) TO '{file.name}' (FORMAT parquet)")
        whole = Path(file.name).read_bytes()
    for cut in range(4, len(whole) - 1, len(whole) // 20):
        yield whole[:cut]
        yield whole[:cut] + whole[-8:]
    dice = random.Random(5)
    for _ in range(80):
        at = len(whole) - dice.randrange(9, 900)
        yield whole[:at] + dice.randbytes(1) + whole[at + 1 :]


def test_a_damaged_parquet_file_is_the_clients_fault(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    refused = []
    for number, table in enumerate(damaged()):
        path.write_bytes(table)
        folder = tmp_path / f"{number}"
        folder.mkdir()
        try:
            query_process.load(REQUEST, ConfinedContext({"t": path}, folder, folder, lambda *_: None))
        except QueryError as error:
            refused.append(str(error))
    assert len(refused) > 60
    assert all(reason.startswith("table t: ") for reason in refused)
    assert not [reason for reason in refused if str(tmp_path) in reason or "/tmp" in reason or "LINE 1" in reason]


def test_types_are_judged_by_all_rows_where_a_sample_misleads(query: Query) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(40_000))
    body = query("SELECT count(*) AS n, max(typeof(b)) AS type FROM t", {"t": f"a,b\n{rows}1,NA\n".encode()}).body
    assert body == b"n,type\n40001,VARCHAR\n"


def test_names_may_be_keywords(query: Query) -> None:
    assert query('SELECT count(*) AS n FROM "select", result', {"select": PEOPLE, "result": PEOPLE}).body == b"n\n4\n"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nope FROM t", 'Referenced column "nope" not found'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT 'x'::INTEGER", "Could not convert string 'x' to INT32"),
        ("SELECT * FROM missing", "Table with name missing does not exist"),
        ("SELECT ?", "parameters"),
        ("SELECT error('my own words')", "my own words"),
        ("", "at least 1 character"),
        ("DROP TABLE t", "sql must be a statement that only reads, like SELECT, not DROP"),
        ("SELECT 1; SELECT 2", "sql must be one statement, not 2"),
        ("UPDATE EXTENSIONS", "sql must be a statement that only reads, like SELECT"),
        ("-- nothing", "sql must be one statement, not 0"),
        ("PIVOT t ON name USING sum(age)", "columns spelled out"),
    ],
)
def test_a_mistake_in_the_sql_is_explained(query: Query, sql: str, reason: str) -> None:
    with pytest.raises((Reject, ValueError), match=re.escape(reason)):
        query(sql, {"t": PEOPLE})
