"""Measure everything beside its peers, and write docs/performance.md: `make bench`, or `python -m bench.report`.

Each bench runs in a process of its own and is stopped after a while. One that fails says so in its rows, and the others
go on. `--bench NAME` measures one alone and keeps what is recorded of the others. Needs valgrind and redis-server.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.report_rows import BENCHES, Row

RECORD = Path(__file__).with_name("performance.json")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PACKAGES = ("boto3", "aioboto3", "fastapi", "mangum", "uvicorn", "urllib3", "pydantic")
TIME_LIMIT = 300.0
"""Seconds of one bench."""

TEXT = """\
# Performance

What Coatcheck costs, beside the same done by others. Written by `make bench`, which measures all of it in a quarter of
an hour; the command in a row prints more of it.

- Instructions are counted by valgrind. They are the same however busy the machine is, and differ a little on another
  kind of CPU.
- Seconds, and what is made of them, are of {cores} cores that serve both sides, on loopback. Go by the ratio: both
  sides took turns in one run.
- Nothing waits for AWS: what answers is on this machine. What AWS adds is the same for all.
- Python {python}, {versions}; the queues are pinned in `requirements/tools`.

The ratio is ours to the other's; **bold** where ours is the better one.

| what | unit | Coatcheck | beside it | which is | ratio | `python -m` | measured |
|---|---|---|---|---|---|---|---|
{rows}

- *In the API* and *in the worker*: a request to AWS is signed, sent, and its answer parsed, over a kept connection.
- *A look* and *a submit* are warm, with key and limits in the caches. Beside them is `bench/peers/api.py`.
- *A start* is a fresh process until its first answer, or until it can take a message.
- *A no-op job in the worker*: instructions are those of supervisor and runner together. Beside them is a poller by hand
  that sends the same requests, and arq ([why no fewer](adr/0147-what-a-quick-job-costs.md)).
- *From submit to done*: the API, a queue of the emulator and a worker, until a client that looks sees the end. The
  emulator answers both sides, on the same cores.
- *No-op jobs* wait in the queue when the worker starts. Redis is another store than SQS and DynamoDB on an emulator, so
  compare the CPU. arq and taskiq keep less of each job: no row that survives its worker, no fence, no lease.
- *Transfers*: ours include the sha256 of the file, which the others do not make.
- *Dollars*: [operate.md](operate.md#what-a-million-jobs-cost) says how they are found, and what is estimated.

Tests hold the bytecode of the hot paths, and the modules that each entry point loads, to what was recorded
([contributing.md](contributing.md)).
"""


def main() -> None:
    """Measure, record and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--bench", choices=BENCHES, help="this one alone")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page of what is recorded")
    parser.add_argument("--child", choices=BENCHES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(json.dumps(BENCHES[options.child].measure()))
        return
    record = {name: one for name, one in recorded().items() if name in BENCHES}
    wanted = [options.bench] if options.bench else [*BENCHES]
    for name in [] if options.page else wanted:
        record[name] = _measured(name)
        RECORD.write_text(json.dumps({known: record[known] for known in BENCHES if known in record}, indent=1) + "\n")
        for line in _lines(name, record[name]):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    PAGE.write_text(render(record))


def recorded() -> Mapping[str, Any]:
    """What was measured last, by the name of the bench."""
    record: Mapping[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return record


def render(record: Mapping[str, Any]) -> str:
    """The page of a record. A bench that is not in it has rows all the same."""
    rows = [line for name in BENCHES for line in _lines(name, record.get(name, {"failed": "not yet"}))]
    machine = next((one["machine"] for one in record.values() if "machine" in one), _machine())
    return TEXT.format(rows="\n".join(rows), **machine)


def _measured(name: str) -> dict[str, Any]:
    """The figures of a bench, or why there are none."""
    taken: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": _machine()}
    command = [sys.executable, "-m", "bench.report", "--child", name]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as child:  # noqa: S603 - ours
        try:
            printed, errors = child.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            printed, errors = "", f"took more than {TIME_LIMIT:g} s"
        finally:
            # with all that it has started
            _end_group(child.pid)
    if child.returncode == 0 and printed:
        return {**taken, "figures": json.loads(printed.splitlines()[-1])}
    return {**taken, "failed": (errors.strip().splitlines() or [f"ended with {child.returncode}"])[-1][:200]}


def _end_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _machine() -> dict[str, Any]:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {"cores": os.cpu_count(), "python": platform.python_version(), "versions": versions}


def _lines(name: str, taken: Mapping[str, Any]) -> list[str]:
    bench, date = BENCHES[name], taken.get("date", "")
    if "figures" not in taken:
        why = taken["failed"].replace("|", "/")
        return [
            f"| {row.what} | {row.unit} | not measured: {why} | | {row.peer} | | `{bench.command}` | {date} |"
            for row in bench.rows
        ]
    return [
        f"| {row.what} | {row.unit} | {_figure(ours)} | {_figure(beside)} | {row.peer} | {ratio(row, ours, beside)} "
        f"| `{bench.command}` | {date} |"
        for row, (ours, beside) in zip(bench.rows, taken["figures"], strict=True)
    ]


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def ratio(row: Row, ours: float, beside: float) -> str:
    """Our figure to the other one, bold where it is the better."""
    if not beside:
        return ""
    quotient = f"{ours / beside:.2f}"
    better = ours > beside if row.more else ours < beside
    return f"**{quotient}**" if better else quotient


if __name__ == "__main__":
    main()
