"""`table.query`: SQL over uploaded files, run in a process of its own.

DuckDB's makers say that SQL and data files from strangers need an operating system's walls, not a setting's
(https://duckdb.org/security). So DuckDB runs in `jobs.query_process`, without this process's environment (no AWS
credentials), under memory and file size limits; a query that must stop is killed with it.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coatcheck import Context, Reject, Result, job, minutes
from jobs.models import GIB, CsvOptions, TableFormat, TableQuery

CONTENT_TYPES: dict[TableFormat, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
POLL_INTERVAL = 0.1
# what a Python interpreter needs to start; nothing else of the worker's environment is the query's business
PASSED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
# sent by others (the kernel short of memory, a shutdown): the query itself may be sound
EXTERNAL_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


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
    folder = ctx.workdir / "query"
    folder.mkdir()
    request = {
        "tables": {name: str(ctx.input_path(upload)) for name, upload in params.tables.items()},
        "csv": {name: params.csv.get(name, CsvOptions()).model_dump() for name in params.tables},
        "sql": params.sql,
        "format": params.format,
        "memory": limits.memory,
        "disk": min(limits.disk, shutil.disk_usage(folder).free // 3),
        "threads": limits.threads,
    }
    (folder / "request.json").write_text(json.dumps(request))
    with _start(folder) as process:
        try:
            for report in _reports(process, ctx):
                _forward_report(report, ctx)
        except BaseException:
            process.kill()
            raise
    _check_exit(process.returncode)
    return Result(folder / "result", CONTENT_TYPES[params.format], f"result.{params.format}")


def _start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    # resolved: an empty entry means the current folder, which is another one there
    modules = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
        [sys.executable, "-P", "-m", "jobs.query_process", str(folder)],
        env=environment | {"PYTHONPATH": modules, "HOME": str(folder)},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )


def _reports(process: subprocess.Popen[bytes], ctx: Context) -> Iterator[dict[str, Any]]:
    """What the process says, line by line until it ends, looking at `ctx` all the while."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ctx.check()
            if selector.select(POLL_INTERVAL):
                line = process.stdout.readline()
                if not line:
                    return
                yield json.loads(line)


def _forward_report(report: dict[str, Any], ctx: Context) -> None:
    if "rejected" in report:
        raise Reject(report["rejected"])
    ctx.progress(report["fraction"], report["message"])


def _check_exit(returncode: int) -> None:
    """Nothing when the process ended well. A crash is the query's own fault, unless the signal came from outside."""
    if returncode == 0:
        return
    if returncode < 0 and -returncode not in EXTERNAL_SIGNALS:
        raise Reject(f"the query broke the database engine ({signal.Signals(-returncode).name}); try a simpler one")
    raise RuntimeError(f"the query's process ended with {returncode}")
