"""What a query may use, and what is left of it when it is stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coatcheck import LocalContext, Outcome, Reject, Stopped
from jobs.models import TableQuery
from jobs.tables import Limits, run
from tests.waiting import eventually

Query = Callable[..., Outcome]


@pytest.fixture
def limited(tmp_path: Path) -> Callable[..., Any]:
    """Run SQL under limits of the test's own; the path of the result."""

    def call(sql: str, **limits: int) -> Path:
        result = run(TableQuery(sql=sql), LocalContext(tmp_path), Limits(**limits))
        assert isinstance(result.body, Path)
        return result.body

    return call


def test_data_larger_than_memory_spills_to_disk(limited: Callable[..., Path]) -> None:
    sql = "SELECT hash(range) AS h, repeat('x', 40) AS x FROM range(2_500_000) ORDER BY h"
    result = limited(sql, memory=112 * 1024**2, disk=1024**3)
    # 2.5 million rows of about 60 bytes, sorted in less memory than they take
    assert result.stat().st_size > 145_000_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(range) FROM range(1_000_000_000)",
        "SELECT length(repeat('x', 4_000_000_000))",
        "SELECT range(1_000_000_000)",
        "SELECT list_resize([1], 1_000_000_000)",
        "SELECT string_agg(repeat('x', 1_000_000)) FROM range(100_000)",
        "WITH RECURSIVE r AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM r) SELECT max(length(s)) FROM r",
    ],
)
def test_memory_is_bounded(limited: Callable[..., Path], sql: str) -> None:
    with pytest.raises(Reject, match=r"^more memory was needed than a query may have$"):
        limited(sql, memory=128 * 1024**2, disk=32 * 1024**2)


def test_disk_is_bounded(limited: Callable[..., Path]) -> None:
    with pytest.raises(Reject, match=r"^more disk was needed than a query may have$"):
        limited("FROM range(1_000_000_000_000)", disk=8 * 1024**2)


@pytest.mark.parametrize("sql", ["SELECT " + "(" * 40_000 + "1" + ")" * 40_000, "SELECT " + "1+" * 40_000 + "1"])
def test_nesting_is_bounded(query: Query, sql: str) -> None:
    with pytest.raises(Reject):
        query(sql)


ENDLESS = "SELECT count(*) FROM range(1_000_000_000) a, range(1_000_000_000) b WHERE a.range * b.range % 7 = 3"


def test_a_long_query_stops_when_told(query: Query) -> None:
    began = time.monotonic()
    with pytest.raises(Stopped):
        query(ENDLESS, timeout=1.5)
    assert time.monotonic() - began < 10


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


WORKER = f"""
import sys
from pathlib import Path
from coatcheck import LocalContext
from jobs.models import TableQuery
from jobs.tables import Limits, run

class Loud(LocalContext):
    def progress(self, fraction, message=None):
        print(message, flush=True)

run(TableQuery(sql={ENDLESS!r}), Loud(Path(sys.argv[1])), Limits())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_query_has_no_credentials_and_does_not_outlive_its_worker(tmp_path: Path) -> None:
    environment = os.environ | {"AWS_SECRET_ACCESS_KEY": "hush"}
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdout
            assert worker.stdout.readline() == b"running the query\n"
            (pid,) = children(worker.pid)
            assert b"hush" in Path(f"/proc/{worker.pid}/environ").read_bytes()
            assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()
        finally:
            worker.kill()
    eventually(lambda: ended(pid))


def ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
