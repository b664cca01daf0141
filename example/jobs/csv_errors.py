"""The line of a CSV file that cannot be read, and why: DuckDB names it only sometimes, and not always the right one."""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.query_errors import QueryError

BLOCK_SIZE = 1024**2
# bytes, DuckDB's `max_line_size`: https://duckdb.org/docs/stable/data/csv/overview
MAX_ROW_SIZE = 2_000_000
LINE_ENDINGS: Mapping[str, str] = {"\n": "LF", "\r\n": "CR LF", "\r": "CR"}
QUOTE_ERROR = (
    "a quote opens in it and is never closed, or is followed by more text than the delimiter; where quotes are plain "
    'text, say "quote": ""'
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How rows and fields are told apart: `quote` may be empty, `escape` is what makes a quote inside quotes plain."""

    delimiter: str
    quote: str
    escape: str

    def reader(self, lines: Iterator[str], *, strict: bool) -> Iterator[list[str]]:
        """Python's reader of it: an independent one."""
        csv.field_size_limit(sys.maxsize)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            doublequote=self.escape == self.quote,
            escapechar=None if self.escape == self.quote else self.escape,
            strict=strict,
        )


def decode_blocks(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file, in blocks. Raises QueryError for the first line that is not in `encoding`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK_SIZE)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, "replace")
                raise QueryError(f"line {line + before.count(chr(10))} is not in {encoding}") from error
            line += text.count("\n")
            yield text
            if not block:
                return


def first_error(path: Path, encoding: str, dialect: Dialect) -> str | None:
    """What is wrong with the first line at fault; None where each row has as many fields as the first.

    Reads the whole file, row by row.
    """
    with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
        lines = Lines(file)
        rows = dialect.reader(lines, strict=True)
        first: _FirstRow | None = None
        start = 1
        try:
            for row in rows:
                if first is None and row:
                    first = _FirstRow(start, len(row), lines.end)
                elif first and (why := first.difference(row, lines.end)):
                    return f"line {start} {why}"
                start = lines.number + 1
        except csv.Error:
            return f"line {start}: {QUOTE_ERROR}"
    return None


class Lines:
    """The lines of a text, counted; `end` is what ended the last one."""

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self.number = 0
        self.end = ""

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = next(self._file)
        self.number += 1
        self.end = line[len(line.rstrip("\r\n")) :][-2:]
        return line


@dataclass(frozen=True, slots=True)
class _FirstRow:
    """The row that others must be like."""

    line: int
    width: int
    end: str

    def difference(self, row: list[str], end: str) -> str | None:
        if end and end != self.end:
            ends = LINE_ENDINGS.get(self.end, self.end)
            return f"ends with {LINE_ENDINGS.get(end, end)}, where line {self.line} ends with {ends}"
        if row and len(row) != self.width:
            return f"has {len(row)} columns, where line {self.line} has {self.width}"
        if 4 * sum(map(len, row)) > MAX_ROW_SIZE and len("".join(row).encode()) > MAX_ROW_SIZE:
            return f"is longer than {MAX_ROW_SIZE:,} bytes"
        return None
