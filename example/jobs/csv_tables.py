"""CSV files as DuckDB's tables, without losing a row.

DuckDB's sniffer skips whatever lines do not suit the delimiter, quote or comment it guesses. So the delimiter is found
here, everything else is said, and reading is strict: each line is a row, or the file is refused with the line. What is
left to DuckDB are the types, and whether the first line is a header.
Options: https://duckdb.org/docs/stable/data/csv/overview
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from jobs.csv_errors import Dialect, Lines, decode_blocks, first_error
from jobs.query_errors import QueryError, sanitize_message

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_SIZE = 128 * 1024
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
READ_ERRORS = (duckdb.ConversionException, duckdb.InvalidInputException)
ENCODING_HINT = 'say which encoding it is in, under "csv" for this table, as in "encoding": "{}"'


@dataclass(frozen=True, slots=True)
class CsvReadOptions:
    """What the client says of one CSV file: see `jobs.models.CsvOptions`."""

    delimiter: str | None
    quote: str
    escape: str
    header: bool | None
    encoding: str
    nulls: Sequence[str]
    types: str

    def dialect(self, delimiter: str) -> Dialect:
        return Dialect(delimiter, self.quote, "\\" if self.escape == "backslash" else self.quote)


def create_from_csv(
    base: duckdb.DuckDBPyConnection, name: str, path: Path, options: CsvReadOptions, scratch: Path
) -> None:
    """Make the table `name` of the file; `scratch` is a folder for a copy of it in UTF-8, where that is needed.

    Raises QueryError, naming the line, for what cannot be read without loss.
    """
    if options.encoding == "utf-8":
        _refuse_utf16(path)
    with path.open(encoding=options.encoding, errors="replace", newline="") as file:
        sample = file.read(SAMPLE_SIZE)
    rows = sample.removeprefix(BOM).lstrip("\r\n")
    if not rows:
        raise QueryError("it is empty")
    dialect = options.dialect(options.delimiter or _detect_delimiter(rows, options))
    end = _line_ending_override(rows, dialect)
    try:
        if options.encoding == "utf-8" and rows == sample:
            _create(base, name, _read_csv_sql(path, dialect, options, end))
        else:
            text = scratch / f"{name}.csv"
            _copy(path, options.encoding, text)
            _create(base, name, _read_csv_sql(text, dialect, options, end))
            text.unlink()
    except READ_ERRORS as error:
        _raise_first_error(path, options.encoding, dialect)
        if end == "\r\n":
            raise QueryError("line 1 ends with CR LF, and has other line ends in its fields") from error
        raise QueryError(sanitize_message(str(error)).split("\n")[0]) from error


def _refuse_utf16(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4096)
    zeros = max(start[::2].count(0), start[1::2].count(0))
    if start.startswith(UTF16_MARKS) or zeros > len(start) / 4:
        raise QueryError(f"it is UTF-16, not UTF-8: {ENCODING_HINT.format('utf-16')}")


def _copy(path: Path, encoding: str, to: Path) -> None:
    """In UTF-8, without what misleads DuckDB at the start: empty lines for a header, a mark before a quote."""
    blocks = decode_blocks(path, encoding)
    with to.open("w", encoding="utf-8", newline="") as file:
        file.write(next(blocks).removeprefix(BOM).lstrip("\r\n"))
        file.writelines(blocks)


def _create(base: duckdb.DuckDBPyConnection, name: str, reader: str) -> None:
    """DuckDB judges types by a sample; where a later row does not fit, it judges by all rows."""
    try:
        base.execute(f'CREATE TABLE "{name}" AS FROM {reader})')
    except duckdb.ConversionException:
        base.execute(f'CREATE TABLE "{name}" AS FROM {reader}, sample_size = -1)')


def _raise_first_error(path: Path, encoding: str, dialect: Dialect) -> None:
    """Raise QueryError for the first line at fault, if there is one."""
    try:
        for _ in decode_blocks(path, encoding):
            pass
    except QueryError as error:
        raise QueryError(f"{error}: {ENCODING_HINT.format('latin-1')}") from error
    if found := first_error(path, encoding, dialect):
        raise QueryError(f'{found} (read with "delimiter": "{dialect.delimiter}")')


def _detect_delimiter(sample: str, options: CsvReadOptions) -> str:
    """The one that splits the first row, and most rows as it does: into the most fields of all. Else the comma."""
    best, best_score = DELIMITERS[0], (0.5, 1)
    for delimiter in DELIMITERS:
        rows = [row for row in options.dialect(delimiter).reader(io.StringIO(sample, newline=""), strict=False) if row]
        # the last may be cut off
        complete_rows = rows[:-1] if len(sample) == SAMPLE_SIZE and len(rows) > 1 else rows
        widths = [len(row) for row in complete_rows]
        score = (widths.count(widths[0]) / len(widths), widths[0])
        if score[1] > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _line_ending_override(sample: str, dialect: Dialect) -> str:
    """What ends the rows, where the first one has line ends in its fields, which DuckDB would go by; else nothing.

    CR LF is of no use: told of it, DuckDB 2.0.0 drops rows; untold, it refuses such a file.
    """
    lines = Lines(io.StringIO(sample, newline=""))
    next(dialect.reader(lines, strict=False))
    return lines.end if lines.number > 1 else ""


def _read_csv_sql(path: Path, dialect: Dialect, options: CsvReadOptions, end: str) -> str:
    """DuckDB's read_csv, but for its closing bracket."""
    arguments = {
        "compression": sql_string("none"),
        "delim": sql_string(dialect.delimiter),
        "quote": sql_string(dialect.quote),
        "escape": sql_string(dialect.escape),
        "comment": sql_string(""),
        "nullstr": f"[{', '.join(map(sql_string, options.nulls))}]",
        "all_varchar": str(options.types == "text"),
        "skip": "0",
        "strict_mode": "true",
        "null_padding": "false",
        "ignore_errors": "false",
    }
    if len(end) == 1:
        # written with backslashes
        arguments["new_line"] = sql_string(end.encode("unicode_escape").decode())
    if options.header is not None:
        arguments["header"] = str(options.header)
    return f"read_csv({sql_string(path)}, " + ", ".join(f"{key} = {value}" for key, value in arguments.items())


def sql_string(text: object) -> str:
    """As a text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"
