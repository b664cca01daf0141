"""Goes the journeys through each front door, and prints which pass: `python -m tests.journeys.doors`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from coatcheck_service.front_door import ALB, FUNCTION_URL, REST
from tests.journeys.results import DOOR_VARIABLE
from tests.repository import ROOT

DOORS = (REST.name, FUNCTION_URL.name, ALB.name)

JOURNEYS = (
    "test_jobs",
    "test_uploads",
    "test_sizes",
    "test_links",
    "test_webhooks",
    "test_keys",
    "test_operators",
    "test_log_canaries",
    "test_permissions",
    "test_api_gateway",
)
"""The modules whose tests go through the whole stack."""

Results = Mapping[str, Counter[str]]
"""By the name of a test without its parameters, how many of it passed, failed or were skipped."""


def main() -> int:
    """Print the table. Returns 1 if a journey fails at a door."""
    parser = argparse.ArgumentParser(prog="python -m tests.journeys.doors", description=__doc__)
    parser.add_argument("--door", action="append", choices=DOORS, help="only this one; repeatable")
    doors: Sequence[str] = parser.parse_args().door or DOORS
    found = {door: travel(door) for door in doors}
    names = sorted({name for results in found.values() for name in results})
    lines = [f"| journey | {' | '.join(doors)} |", f"|---|{'---|' * len(doors)}"]
    lines += [f"| {name} | {' | '.join(_cell(found[door].get(name, Counter())) for door in doors)} |" for name in names]
    sys.stdout.write("\n".join([*lines, ""]))
    return 1 if any(results["failed"] for door in doors for results in found[door].values()) else 0


def travel(door: str) -> Results:
    """Go all journeys through a door, by a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="doors-") as scratch:
        report = Path(scratch) / "report.xml"
        files = [f"tests/journeys/{name}.py" for name in JOURNEYS]
        command = [sys.executable, "-m", "pytest", "-q", "-k", "whole or full_stack or gateway or statement", *files]
        command += [f"--junit-xml={report}", "-p", "no:randomly"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, DOOR_VARIABLE: door}, check=False)
        return read_report(report.read_text())


def read_report(report: str) -> Results:
    """Return what a report of pytest, in JUnit's form, says of each test."""
    results: dict[str, Counter[str]] = {}
    for case in ET.fromstring(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        outcome = "failed" if outcomes & {"failure", "error"} else "skipped" if "skipped" in outcomes else "passed"
        results.setdefault(case.attrib["name"].split("[")[0], Counter())[outcome] += 1
    return results


def _cell(counted: Counter[str]) -> str:
    if counted["failed"]:
        return f"{counted['failed']} of {counted.total()} FAIL"
    return str(counted["passed"]) if counted["passed"] else "none"


if __name__ == "__main__":
    sys.exit(main())
