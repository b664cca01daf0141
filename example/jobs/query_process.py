"""What `jobs.tables` runs DuckDB with, in a confined process. The SQL and the files are a client's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from coatcheck import Reject
from coatcheck.confined import ConfinedContext
from jobs.csv_tables import CsvReadOptions, create_from_csv, sql_string
from jobs.json_nan import may_hold_nan, write_null_for_nan
from jobs.query_errors import QueryError, translate_errors

PARQUET = b"PAR1"
# all but the control characters that no text has
TEXT_BYTES = bytes(byte for byte in range(256) if byte >= 32 or byte in b"\t\r\n")
UNSUPPORTED_FORMATS = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip file", b"\x28\xb5\x2f\xfd": "a zstd file"}
# USE_TMP_FILE: the result's is the only file this DuckDB may write by name
COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER true, USE_TMP_FILE false",
    "json": "FORMAT json, ARRAY true, USE_TMP_FILE false",
    "parquet": "FORMAT parquet, USE_TMP_FILE false",
}


def query(request: Mapping[str, Any], ctx: ConfinedContext) -> None:
    """Run the SQL of `request` over the tables in `ctx.files`, and write the rows to the file `result`."""
    try:
        sql = _validate_select(request["sql"])
        load(request, ctx)
        ctx.progress(0.5, "running the query")
        _run(request, sql, ctx)
    except QueryError as error:
        raise Reject(str(error)) from error


def load(request: Mapping[str, Any], ctx: ConfinedContext) -> None:
    """Copy the files into a database file. Raises QueryError for one that is no table."""
    with duckdb.connect(ctx.scratch / "tables.duckdb", config=_config(request, ctx)) as trusted:
        for number, (name, path) in enumerate(ctx.files.items()):
            ctx.progress(0.5 * number / len(ctx.files), f"loading {name}")
            with translate_errors(f"table {name}: "):
                _create(trusted, name, path, CsvReadOptions(**request["csv"][name]), ctx.scratch)


def _create(trusted: duckdb.DuckDBPyConnection, name: str, path: Path, options: CsvReadOptions, scratch: Path) -> None:
    """Make a table of a file: Parquet by its bytes, else CSV."""
    if _is_parquet(path):
        trusted.execute(f'CREATE TABLE "{name}" AS FROM read_parquet({sql_string(path)})')
    else:
        create_from_csv(trusted, name, path, options, scratch)


def _is_parquet(path: Path) -> bool:
    """Raises QueryError for what is neither Parquet nor text. https://parquet.apache.org/docs/file-format/"""
    with path.open("rb") as file:
        start = file.read(4096)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        end = file.read()
    if not start:
        raise QueryError("it is empty")
    for magic, format_name in UNSUPPORTED_FORMATS.items():
        if start.startswith(magic):
            raise QueryError(f"it is {format_name}: upload the CSV or Parquet file that is inside")
    if not start.startswith(PARQUET):
        return False
    footer = int.from_bytes(end[:4], "little")
    if end.endswith(PARQUET) and footer <= size - 12:
        return True
    if start.translate(None, TEXT_BYTES):
        raise QueryError("it is a Parquet file that is cut short or damaged")
    return False


def _run(request: Mapping[str, Any], sql: str, ctx: ConfinedContext) -> None:
    """Run the SQL on a connection that may read the tables and write the result, and nothing else, for ever.

    DuckDB counts `WITH x AS (COPY … TO …) SELECT …` among the SELECTs, but refuses it anywhere but at the top: so
    the SQL is bound once as a subquery, which runs nothing.
    """
    result = ctx.output / "result"
    with duckdb.connect(ctx.scratch / "tables.duckdb", read_only=True, config=_config(request, ctx)) as locked:
        locked.execute("SET TimeZone = 'UTC'")
        locked.execute(f"SET allowed_paths = [{sql_string(result)}]")
        locked.execute("SET enable_external_access = false")
        locked.execute("SET lock_configuration = true")
        with translate_errors("", sql):
            types = locked.sql(f"FROM ({sql}\n)").types
            locked.execute(f"COPY ({sql}\n) TO {sql_string(result)} ({COPY_OPTIONS[request['format']]})")
    if request["format"] == "json" and may_hold_nan(types):
        with translate_errors("", sql):
            write_null_for_nan(result)


def _validate_select(sql: str) -> str:
    """The SQL without a closing semicolon. Raises QueryError unless it is one statement that only reads."""
    with translate_errors("", sql), duckdb.connect() as parser:
        statements = parser.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"sql must be one statement, not {len(statements)}")
    kind = _kind(statements[0])
    if kind == duckdb.StatementType.MULTI:
        raise QueryError("a PIVOT needs its columns spelled out here: PIVOT … ON column IN ('a', 'b') USING …")
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"sql must be a statement that only reads, like SELECT, not {kind.name}")
    return _without_semicolon(statements[0].query)


def _kind(statement: duckdb.Statement) -> duckdb.StatementType:
    """Raises QueryError for a statement that the engine can parse, but has no name for."""
    try:
        return statement.type
    except ValueError as error:
        raise QueryError("sql must be a statement that only reads, like SELECT") from error


def _without_semicolon(sql: str) -> str:
    """One statement without what ends it: semicolons, among and after which there may be comments."""
    text = sql.encode()
    for start, kind in reversed(duckdb.tokenize(sql)):
        if kind == duckdb.token_type.comment:
            continue
        if text[start : start + 1] != b";":
            break
        text = text[:start]
    return text.decode()


def _config(request: Mapping[str, Any], ctx: ConfinedContext) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": f"{request['memory']}B",
        "threads": request["threads"],
        "temp_directory": str(ctx.scratch / "spill"),
        "max_temp_directory_size": f"{request['disk']}B",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
    }
