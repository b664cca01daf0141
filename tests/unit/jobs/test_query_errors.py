"""What a client reads of DuckDB's errors, and which of them end a job at once."""

from __future__ import annotations

import errno
import os

import duckdb
import pytest

from jobs.query_errors import QueryError, sanitize_message, translate_errors


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("No magic bytes in '/tmp/coatcheck-a1/upl_9'", "No magic bytes in 'a file'"),
        ('file "/var/task/x y/upl_9": gone', 'file "a file y/upl_9": gone'),
        ("read_parquet('/tmp/coatcheck-a1/up...", "read_parquet('a file"),
        ("at file:///home/u/x.csv, and /home/u/.b/", "at a file, and a file"),
        ("/opt/venv/lib/_duckdb.so(_ZN6duckdb9E+0x4)", "a file(_ZN6duckdb9E+0x4)"),
        ("a/b/c is no path, nor is 1 / 2, nor </b>", "a/b/c is no path, nor is 1 / 2, nor </b>"),
        ("Cannot open '/etc/passwd', you said", "Cannot open '/etc/passwd', you said"),
        ("x" * 2000, "x" * 1500),
    ],
)
def test_no_path_is_shown_but_the_clients_own(said: str, shown: str) -> None:
    assert sanitize_message(said, "FROM '/etc/passwd'") == shown


def test_a_statement_of_ours_is_not_shown() -> None:
    said = "Binder Error: no such thing\n\nLINE 1: CREATE TABLE t AS FROM '/tmp/x...\n        ^"
    assert sanitize_message(said) == "Binder Error: no such thing"
    assert (
        sanitize_message(said, "") == "Binder Error: no such thing\n\nLINE 1: CREATE TABLE t AS FROM 'a file\n        ^"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (duckdb.ParserException("Parser Error: at 'x'"), "t: Parser Error: at 'x'"),
        (duckdb.NotImplementedException("Not implemented Error: x"), "t: Not implemented Error: x"),
        (duckdb.Error("TProtocolException: Invalid data"), "t: TProtocolException: Invalid data"),
        (
            duckdb.InternalException("INTERNAL Error: lost\n\nStack Trace:\n\n/opt/x/y.so(+0x1)"),
            "t: the database engine failed on it: lost",
        ),
        (
            duckdb.FatalException("FATAL Error: Failed: database has been invalidated"),
            "t: the database engine failed on it: FATAL Error: Failed: database has been invalidated",
        ),
        (
            ValueError("29 is not a valid StatementType."),
            "t: the database engine failed on it: 29 is not a valid StatementType.",
        ),
        (duckdb.IOException("IO Error: Parquet files do not support x"), "t: IO Error: Parquet files do not support x"),
        (
            duckdb.IOException('IO Error: Could not read enough bytes from file "/tmp/a/b": 9'),
            't: IO Error: Could not read enough bytes from file "a file": 9',
        ),
        (
            duckdb.IOException('IO Error: Failed to read Parquet file "/tmp/a/b": no children'),
            't: IO Error: Failed to read Parquet file "a file": no children',
        ),
        (
            duckdb.IOException('IO Error: Could not write file "/tmp/a/b": File too large'),
            "t: more disk was needed than a query may have",
        ),
        (OSError(errno.EFBIG, "File too large"), "t: more disk was needed than a query may have"),
        (duckdb.OutOfMemoryException("Out of Memory Error: x"), "t: more memory was needed than a query may have"),
        (MemoryError(), "t: more memory was needed than a query may have"),
        (QueryError("it is empty"), "t: it is empty"),
    ],
)
def test_what_the_client_can_mend_is_rejected(error: Exception, reason: str) -> None:
    with pytest.raises(QueryError) as rejected, translate_errors("t: "):
        raise error
    assert str(rejected.value) == reason


@pytest.mark.parametrize(
    "error",
    [
        duckdb.IOException('IO Error: Could not write file "/tmp/a/b": No space left on device'),
        duckdb.IOException(f"IO Error: Could not fsync: {os.strerror(errno.EIO)}"),
        duckdb.IOException(f'IO Error: Failed to read file "/tmp/a/b": {os.strerror(errno.EIO)}'),
        duckdb.IOException('IO Error: Could not set lock on file "/tmp/a/b"'),
        duckdb.FatalException("FATAL Error: could not checkpoint: No space left on device"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_what_this_machine_lacks_is_tried_again(error: Exception) -> None:
    with pytest.raises(type(error)), translate_errors("t: "):
        raise error
