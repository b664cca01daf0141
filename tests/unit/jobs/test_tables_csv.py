"""A CSV file is read without losing a row or a field, or it is refused with the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coatcheck import Outcome, Reject
from jobs.csv_tables import CsvReadOptions, create_from_csv
from jobs.models import CsvOptions
from jobs.query_errors import QueryError

Query = Callable[..., Outcome]
Rows = list[list[str]]


def read(folder: Path, text: str, **options: Any) -> Rows:
    """The rows of the table that is made of `text`, its columns' names first; NULL as an empty text."""
    path = folder / "given.csv"
    path.write_bytes(text.encode(options.get("encoding", "utf-8")))
    said = CsvOptions.model_validate({"types": "text", "header": True} | options).model_dump()
    with duckdb.connect() as base:
        create_from_csv(base, "t", path, CsvReadOptions(**said), folder)
        table = base.sql("FROM t")
        return [list(table.columns), *[["" if cell is None else str(cell) for cell in row] for row in table.fetchall()]]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("c0\nv0\na;b", [["c0"], ["v0"], ["a;b"]]),
        ("a;b\n1,5;2,5\n", [["a", "b"], ["1,5", "2,5"]]),
        ("a\tb\n1\t2\n", [["a", "b"], ["1", "2"]]),
        ("a|b\n1|2\n", [["a", "b"], ["1", "2"]]),
        ("a,b\n#1,2\n#3,4\n", [["a", "b"], ["#1", "2"], ["#3", "4"]]),
        ("#a,b\n1,2\n", [["#a", "b"], ["1", "2"]]),
        ("\n\n\na,b\n1,2\n\n", [["a", "b"], ["1", "2"]]),
        ("a\n1\n\n2\n", [["a"], ["1"], [""], ["2"]]),
        ("\ufeffa,b\n1,2", [["a", "b"], ["1", "2"]]),
        ("\ufeff\r\na,b\r\n1,2", [["a", "b"], ["1", "2"]]),
        ("a,b\r1,2\r", [["a", "b"], ["1", "2"]]),
        ('a,b\n"x\r\ny",2\n', [["a", "b"], ["x\r\ny", "2"]]),
        ('\ufeff"a\nb"', [["a\nb"]]),
        ('"a\rb",c\n1,2\n', [["a\rb", "c"], ["1", "2"]]),
        ('"a\r\nb",c\r1,2\r', [["a\r\nb", "c"], ["1", "2"]]),
        ("PAR1,b\n1,2\n", [["PAR1", "b"], ["1", "2"]]),
        ("a,b\n1,x\0y\n", [["a", "b"], ["1", "x\0y"]]),
        (f"{','.join(f'c{n}' for n in range(3000))}\n{',' * 2999}\n", [[f"c{n}" for n in range(3000)], [""] * 3000]),
    ],
)
def test_what_is_there_is_read(tmp_path: Path, text: str, rows: Rows) -> None:
    assert read(tmp_path, text) == rows


LONG = "a,b\n" + "".join(f"{n},{n}\n" for n in range(30_000))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LONG.replace("\n1500,1500\n", "\n1500,1500,9\n"), "line 1502 has 3 columns, where line 1 has 2"),
        (LONG + "1,2,3\n", "line 30002 has 3 columns, where line 1 has 2"),
        (LONG + "1\n2,3\n", "line 30002 has 1 columns, where line 1 has 2"),
        ("c0\nv0\na,b", "line 3 has 2 columns, where line 1 has 1"),
        ("a;b\n1;2\n3;4\n5\n", "line 4 has 1 columns, where line 1 has 2"),
        ('a,b\n"x\ny",1\n1,2,3\n', "line 4 has 3 columns, where line 1 has 2"),
        (LONG + '1,"x\n2,3\n', "line 30002: a quote opens in it"),
        ('a,b\n"x"y,2\n', "line 2: a quote opens in it"),
        ("a,b\r\n1,2\n3,4\n", "line 2 ends with LF, where line 1 ends with CR LF"),
        (LONG + "1,2\r\n", "line 30002 ends with CR LF, where line 1 ends with LF"),
        ('"a\nb",c\r\n1,2\r\n', "line 1 ends with CR LF, and has other line ends in its fields"),
        (f"a,b\n1,{'é' * 1_100_000}\n", "line 2 is longer than 2,000,000 bytes"),
        ("\n\n", "it is empty"),
        ("\ufeff", "it is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(QueryError, match=f"^{re.escape(why)}"):
        read(tmp_path, text)


SIMPLE = ["", "a", "b c", " x", "x ", " ", "1", "007", "1.50", "NULL", "nan", "2013-01-01", "true", "-", "é", "🙂"]
AWKWARD = ["#c", "//", '"', 'a"b', '""', "'q'", "\\", '\\"', "x,y", "p;q", "t\tu", "x\ny", "x\r\ny", "x\ry", "\u2028"]
CELL = st.sampled_from(SIMPLE + AWKWARD)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """A delimiter and a CSV file: mostly sound, some ragged, with stray quotes, blank lines or mixed line ends."""
    delimiter = draw(st.sampled_from(",;\t|"))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    width = draw(st.integers(1, 4))
    file = io.StringIO(newline="")
    quoting: Literal[0, 1] = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    names = draw(st.sampled_from(["h{}", "h{}", "h\n{}", "h\r\n{}"]))
    writer.writerow([names.format(n) for n in range(width)])
    for _ in range(draw(st.integers(0, 8))):
        how = draw(st.sampled_from(["sound"] * 12 + ["raw", "blank", "ragged"]))
        many = draw(st.integers(1, 5)) if how == "ragged" else width
        row = draw(st.lists(CELL, min_size=many, max_size=many))
        if how in {"sound", "ragged"}:
            writer.writerow(row)
        else:
            file.write(delimiter.join(row if how == "raw" else []) + end)
    text = file.getvalue()
    start = draw(st.sampled_from(["", "", "\ufeff", end]))
    return delimiter, start + (text if draw(st.booleans()) else text.removesuffix(end))


def by_python(text: str, delimiter: str) -> tuple[Rows, bool]:
    """The rows as Python reads them, and whether nothing is wrong with them."""
    source = io.StringIO(text.removeprefix("\ufeff"), newline="")
    try:
        rows = list(csv.reader(source, delimiter=delimiter, strict=True))
    except csv.Error:
        return [], False
    while rows and not rows[0]:
        del rows[0]
    width = len(rows[0])
    rows = [row or [""] for row in rows] if width == 1 else [row for row in rows if row]
    return rows, all(len(row) == width for row in rows)


def same_ends(text: str) -> bool:
    """Whether all lines end alike, where nothing tells which line ends are inside of quotes."""
    return len(set(re.findall("\r\n|\r|\n", text))) <= 1


@pytest.mark.parametrize("named", [True, False])
# the same files in each run: what another reader's corners bring up is for a search by hand, with more examples
@settings(max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=files())
def test_rows_and_fields_are_those_that_python_reads(tmp_path: Path, *, named: bool, file: tuple[str, str]) -> None:
    delimiter, text = file
    expected, sound = by_python(text, delimiter)
    rows, refusal = attempt(tmp_path, text, **{"delimiter": delimiter} if named else {})
    if refusal:
        assert re.match(r"line \d+ ?[a-z:]", refusal)
        assert not (named and sound and same_ends(text))
    elif named:
        assert padded(rows) == padded(expected)
    else:
        assert padded(rows) in [padded(by_python(text, guess)[0]) for guess in ",;\t|"]


def attempt(folder: Path, text: str, **options: Any) -> tuple[Rows, str]:
    try:
        return read(folder, text, **options), ""
    except QueryError as error:
        return [], str(error)


def padded(rows: Rows) -> Rows:
    """Without the empty field that a delimiter at the end of a line makes."""
    width = len(rows[0]) if rows else 0
    return [row[:-1] if len(row) == width + 1 and not row[-1] else row for row in rows]


def test_a_large_file_with_line_ends_in_fields_is_whole(tmp_path: Path) -> None:
    rows = [["n", "text"], *[[f"{n}", f'{n}\n"{"x" * (n % 300)}",\r\n'] for n in range(100_000)]]
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    assert len(file.getvalue()) > 16_000_000
    assert read(tmp_path, file.getvalue()) == rows


@pytest.mark.parametrize(
    ("given", "options", "body"),
    [
        ("a,b;c\n1,2;3\n", {"delimiter": ";"}, b'"a,b",c\n"1,2",3\n'),
        ("x^y\n1^2\n", {"delimiter": "^"}, b"x,y\n1,2\n"),
        ("1,2\n3,4\n", {"header": True}, b"1,2\n3,4\n"),
        ("a,b\nc,d\n", {"header": False}, b"column0,column1\na,b\nc,d\n"),
        ("a,b\n1,NA\n-,2\n", {"nulls": ["NA", "-"]}, b"a,b\n1,\n,2\n"),
        ("a,b\n1,NA\n,2\n", {"nulls": ["NA"]}, b'a,b\n1,\n"",2\n'),
        ("a,b\n007,1.50\n", {"types": "text"}, b"a,b\n007,1.50\n"),
        ('a\tb\n5"\tx"y\n', {"quote": ""}, b'a,b\n"5""","x""y"\n'),
        ("a,b\n'x,y',1\n", {"quote": "'"}, b'a,b\n"x,y",1\n'),
        ('a,b\n"x\\",y",1\n', {"escape": "backslash"}, b'a,b\n"x"",y",1\n'),
        ("é,b\n€,1\n", {"encoding": "windows-1252"}, "é,b\n€,1\n".encode()),
        ("é,b\nü,1\n", {"encoding": "latin-1"}, "é,b\nü,1\n".encode()),
        ("é,b\n🙂,1\n", {"encoding": "utf-16"}, "é,b\n🙂,1\n".encode()),
    ],
)
def test_a_client_can_say_how_it_is_written(query: Query, given: str, options: dict[str, Any], body: bytes) -> None:
    table = given.encode(options.get("encoding", "utf-8"))
    assert query("FROM t", {"t": table}, csv={"t": options}).body == body


@pytest.mark.parametrize(
    ("table", "options", "reason"),
    [
        ("a,b\n1,é\n".encode("latin-1"), {}, "table t: line 2 is not in utf-8: say which encoding it is in, under"),
        ("a,b\n1,é\n".encode("utf-16"), {}, "table t: it is UTF-16, not UTF-8: say which encoding it is in, under"),
        ("a,b\n1,e\n".encode("utf-16-le"), {}, 'as in "encoding": "utf-16"'),
        (b"a,b\n1,\x81\n", {"encoding": "windows-1252"}, "table t: line 2 is not in windows-1252"),
        (b"a,b\n1,2\n3,4,5\n", {}, 'table t: line 3 has 3 columns, where line 1 has 2 (read with "delimiter": ",")'),
        (b"a,b\n1,2\n", {"nulls": [","]}, "table t: "),
    ],
)  # fmt: skip
def test_a_reason_names_the_option(query: Query, table: bytes, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(Reject, match=re.escape(reason)):
        query("FROM t", {"t": table}, csv={"t": options})
