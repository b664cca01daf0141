"""Write docs/performance.md: `make bench`, or `python -m bench.report`. Needs valgrind, and some ten minutes."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench import cold_start, service_requests, transports

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PEERS = ("boto3", "aioboto3", "fastapi", "mangum", "uvicorn", "pydantic")
MILLION = 1e6
SIDE_BY_SIDE = 9
USERS = {"boto3": "worker", "aioboto3": "service"}
REQUESTS = {"GET": "a look", "POST": "a submit"}
WHERE = {"lambda": "in Lambda", "uvicorn": "under uvicorn"}

TEXT = """\
# Performance

What the hot paths cost, beside the same done with the SDKs and with an API written by hand. Written by `make bench` on
{date}.

The figures are instructions, in millions, as valgrind counts them. They are the same however busy the machine is, and
a little others on another kind of CPU, so go by the ratio. Nothing here waits for AWS: a server on this machine answers
at once. Both sides ran in one run, with Python {python} and {versions}.

| what | Coatcheck | beside it | which is | ratio |
|---|---|---|---|---|
{rows}

- A request to AWS: signed, sent, and its answer parsed, over a kept connection (`python -m bench.transports`).
- A look at a job (`GET /v1/jobs/{{id}}`) and a submit (`POST /v1/jobs`), warm, with the key and the limits in the
  caches (`python -m bench.service_requests`). By hand is `bench/peers/api.py`: FastAPI with `def`, boto3, and Mangum.
- A start: a fresh process until its first answer, or until it can take a message (`python -m bench.cold_start`).

Tests hold the bytecode that a look and a submit take to what was recorded, and the modules that each entry point loads
to a budget ([contributing.md](contributing.md)).
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. The figures are instructions."""

    what: str
    ours: float
    beside: float
    peer: str

    def __str__(self) -> str:
        figures = f"{_millions(self.ours)} | {_millions(self.beside)} | {self.peer}"
        return f"| {self.what} | {figures} | {self.ours / self.beside:.2f} |"


def main() -> None:
    """Measure all, and write the page."""
    rows = []
    for row in measure():
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        rows.append(str(row))
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    page = TEXT.format(date=date, python=platform.python_version(), versions=versions, rows="\n".join(rows))
    PAGE.write_text(page)


def measure() -> Iterator[Row]:
    """Yield the rows, in their order. They are measured side by side, which changes no count."""
    parts = [
        *(partial(_of_call, call) for call in transports.CALLS),
        *(partial(_of_request, door, method) for door in service_requests.DOORS for method in REQUESTS),
        *(partial(_of_start, start) for start in cold_start.STARTS),
    ]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for rows in pool.map(lambda part: part(), parts):
            yield from rows


def _of_call(call: str) -> list[Row]:
    counts = transports.measure(call)
    beside = [(ours, sdk) for ours, sdk in transports.SDKS.items() if ours != sdk]
    return [Row(f"{call}, {USERS[sdk]}", counts[ours], counts[sdk], sdk) for ours, sdk in beside]


def _of_request(door: str, method: str) -> list[Row]:
    counts = service_requests.measure(door, method)
    return [Row(f"{REQUESTS[method]}, {WHERE[door]}", counts["coatcheck"], counts["by hand"], "by hand")]


def _of_start(start: str) -> list[Row]:
    ours, beside = cold_start.measure(start)
    return [Row(f"start of the {start}", ours, beside, "by hand" if "API" in start else "two boto3 clients")]


def _millions(instructions: float) -> str:
    millions = instructions / MILLION
    return f"{millions:.2f}" if millions < 100 else f"{millions:,.0f}"


if __name__ == "__main__":
    main()
