"""`table.query`: SQL over uploaded files, run in a confined process.

DuckDB's makers say that SQL and data files from strangers need an operating system's walls, not a setting's
(https://duckdb.org/security). So `jobs.query_process` runs it, which this process does not import.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from coatcheck import Context, Reject, Result, confined, job, minutes
from jobs.models import GIB, CsvOptions, TableFormat, TableQuery

CONTENT_TYPES: dict[TableFormat, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
# the interpreter, DuckDB's code and what DuckDB allocates outside its own count
MEMORY_OVERHEAD = GIB
# less than the job type's timeout, so that a query that takes for ever is refused rather than tried again
SECONDS = 285.0
LIMIT_NAMES = {"memory": "memory", "seconds": "time", "disk": "disk"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may use: `memory` bytes for DuckDB's data (it spills to disk beyond), `disk` bytes for each of
    tables, spill and result (and a third of what is free, where that is less), `threads` processor threads.
    """

    memory: int = GIB // 2
    disk: int = 6 * GIB
    threads: int = 2


@job("table.query", title="Query tables", timeout=minutes(5))
def query(params: TableQuery, ctx: Context) -> Result:
    """Runs one SQL query (DuckDB) over uploaded CSV or Parquet files and returns the rows as CSV, JSON or Parquet.

    The query sees the given tables and nothing else: no files, no network.
    """
    return run(params, ctx, Limits())


def run(params: TableQuery, ctx: Context, limits: Limits) -> Result:
    """`query` under other limits."""
    disk = min(limits.disk, shutil.disk_usage(ctx.workdir).free // 3)
    request = {
        "csv": {name: params.csv.get(name, CsvOptions()).model_dump() for name in params.tables},
        "sql": params.sql,
        "format": params.format,
        "memory": limits.memory,
        "disk": disk,
        "threads": limits.threads,
    }
    try:
        answer = confined.run(
            ctx,
            "jobs.query_process:query",
            request,
            files={name: ctx.input_path(upload) for name, upload in params.tables.items()},
            limits=confined.Limits(limits.memory + MEMORY_OVERHEAD, SECONDS, 3 * disk),
        )
    except confined.LimitReached as error:
        raise Reject(f"more {LIMIT_NAMES[error.limit]} was needed than a query may have") from error
    except confined.Crashed as error:
        raise Reject(
            f"the query broke the database engine ({error.signal or error.status}); try a simpler one"
        ) from error
    return Result(answer.files["result"], CONTENT_TYPES[params.format], f"result.{params.format}")
