"""JSON has no NaN and no infinity (RFC 8259, section 6); DuckDB writes them as if it had. Here each becomes null.

They come from numbers of every kind of column that can hold them (DOUBLE in a struct, a union or a VARIANT), and from
JSON columns, whose parser takes them in any case: so the written text is mended, not the SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# what a column's type must mention for its values to hold such a number
NAN_TYPES = re.compile("FLOAT|DOUBLE|JSON|VARIANT")
# a string is matched whole, so that nothing in it is taken for a number
STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?(?:nan|inf(?:inity)?)', re.IGNORECASE)
BUFFER = 1024**2


def may_hold_nan(types: Iterable[object]) -> bool:
    """Whether columns of these DuckDB types can hold a number that JSON lacks."""
    return any(NAN_TYPES.search(str(kind)) for kind in types)


def write_null_for_nan(file: Path) -> None:
    """Make what DuckDB wrote to `file` valid JSON. Holds one row at a time; takes the file's size again on disk.

    Raises OSError where the disk, or the limit of a file's size, is too small for that.
    """
    if not _file_may_contain_nan(file):
        return
    repaired = file.with_suffix(".mended")
    with file.open("rb", BUFFER) as rows, repaired.open("wb", BUFFER) as out:
        for row in rows:
            out.write(STRING_OR_NUMBER.sub(_string_or_null, row) if _may_contain_nan(row) else row)
    repaired.replace(file)


def _file_may_contain_nan(file: Path) -> bool:
    """By blocks: far faster than by rows, and most files have none."""
    with file.open("rb", buffering=0) as blocks:
        before = b""
        while block := blocks.read(BUFFER):
            if _may_contain_nan(before + block):
                return True
            before = block[-2:]
    return False


def _may_contain_nan(text: bytes) -> bool:
    lower = text.lower()
    return b"nan" in lower or b"inf" in lower


def _string_or_null(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"null"
