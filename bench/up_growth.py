"""What `coatcheck up` grows by with its jobs: `python -m bench.up_growth --jobs 3000`.

The memory of each process and the state on disk: when `up` is ready, when the jobs are done, when nothing has happened
for a while, and after a restart.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.journeys.up_process import Stack, UpProcess
from tests.waiting import eventually

SUBMITTERS = 4
QUIET = 10.0
"""Seconds to wait after the last job: clean-up goes on for a while."""

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}
_MODULES = {
    "coatcheck_infra.local.ministack": "emulator",
    "coatcheck_service.main": "api",
    "coatcheck_worker.sweep": "sweeper",
    "coatcheck_worker.supervisor": "supervisor",
    "coatcheck_worker.runner": "runner",
    "coatcheck_worker": "worker",
    "reaper": "reaper",
}
Sizes = dict[str, float]
"""Megabytes: of each kind of process, and of what is on disk."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.up_growth", description=__doc__)
    parser.add_argument("--jobs", type=int, default=3000, help="how many jobs (default: 3000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for label, sizes in _measure(Path(folder), options.jobs):
            shown = "   ".join(f"{name} {size:,.1f}" for name, size in sizes.items())
            sys.stdout.write(f"{label:<32} {shown}\n")


def _measure(folder: Path, count: int) -> Iterator[tuple[str, Sizes]]:
    up = _start(folder)
    stack = up.ready()
    yield "ready", _sizes(stack)
    began = time.monotonic()
    with ThreadPoolExecutor(SUBMITTERS) as submitters, stack.client() as http:
        jobs = list(submitters.map(lambda _: _submit(http), range(count)))
        yield f"submitted, {time.monotonic() - began:.0f} s", _sizes(stack)
        for job in jobs:
            eventually(lambda job=job: http.get(f"/v1/jobs/{job}").json()["done"], 600)  # type: ignore[misc]
        yield f"{count:,} done, {time.monotonic() - began:.0f} s", _sizes(stack)
        time.sleep(QUIET)
        yield "quiet", _sizes(stack)
    up.stop(signal.SIGINT)
    began = time.monotonic()
    up = _start(folder)
    stack = up.ready()
    yield f"started again, {time.monotonic() - began:.1f} s", _sizes(stack)
    with stack.client() as http:
        if any(http.get(f"/v1/jobs/{job}").json()["status"] != "succeeded" for job in jobs):
            sys.exit("a job is lost")
    up.stop()


def _start(folder: Path) -> UpProcess:
    command = (str(Path(sys.executable).with_name("coatcheck")),)
    return UpProcess(folder / "home", ["--workers", "4"], folder / "up.log", command=command, cwd=None)


def _submit(http: httpx.Client) -> str:
    return str(http.post("/v1/jobs", json=JOB).raise_for_status().json()["id"])


def _sizes(stack: Stack) -> Sizes:
    sizes: Sizes = {}
    for number, command in sorted(stack.processes().items()):
        name = next((name for module, name in _MODULES.items() if module in command), "up")
        sizes[name] = sizes.get(name, 0.0) + _resident(number)
    state = stack.home / "state"
    sizes["rows on disk"] = sum(file.stat().st_size for file in state.glob("state.sqlite3*")) / 1e6
    sizes["objects"] = sum(file.stat().st_size for file in (state / "objects").rglob("*") if file.is_file()) / 1e6
    return sizes


def _resident(number: int) -> float:
    """Megabytes of memory that a process holds, what it shares with others counted in part (Linux)."""
    try:
        rollup = Path(f"/proc/{number}/smaps_rollup").read_text()
    except OSError:  # it has just ended
        return 0.0
    (kilobytes,) = re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
    return int(kilobytes) / 1e3


if __name__ == "__main__":
    main()
