"""`python -m tests.kill.run`: kill real processes before and after every AWS call they make, and see all heal."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.kill.campaign import CrashReport, Scope, run_campaign
from tests.kill.crashing_transport import CrashPoint
from tests.kill.emulator import emulator
from tests.kill.flows import FLOWS, Flow


def main() -> None:
    """Kill and heal, and end with status 1 when a job was not what it had to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill.run", description=__doc__)
    parser.add_argument("--lease", type=int, default=60, help="seconds after which a silent worker is given up")
    parser.add_argument("--sweep", type=float, default=60, help="seconds between two sweeps")
    parser.add_argument("--flow", choices=sorted(FLOWS), help="this flow alone")
    parser.add_argument("--point", type=CrashPoint.parse, help="this point of it alone, like main:3:after")
    parser.add_argument(
        "--short",
        action="store_true",
        help="leave each state in AWS once, instead of dying before and after every call",
    )
    options = parser.parse_args()
    if options.point and not options.flow:
        parser.error("--point needs the --flow it belongs to")
    flows = [FLOWS[options.flow]] if options.flow else list(FLOWS.values())
    scope = Scope(options.sweep, exhaustive=not options.short)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="coatcheck-kill-") as scratch,
        emulator(Path(scratch), lease=options.lease) as g,
    ):
        reports = run_campaign(g, flows, scope, options.point)
        broken = [one for one in reports if one.violations]
        if broken:
            _say(*_lines(Path(scratch) / "recovery.log"), *_lines(Path(scratch) / "crash_targets.log"))
    for flow in flows:
        _say(_line(flow, [one for one in reports if one.crash_run.flow is flow]))
    _say(_line(None, reports), f"{time.monotonic() - began:.0f} s in all")
    for one in broken:
        again = f"python -m tests.kill.run --lease {options.lease} --sweep {options.sweep:g} {one.crash_run.name}"
        _say(f"BROKEN: {again}", *(f"  {violation}" for violation in one.violations))
    sys.exit(bool(broken))


def _line(flow: Flow | None, reports: Sequence[CrashReport]) -> str:
    killed = [one for one in reports if one.crash_run.point and not one.crash_run.missed]
    recovered = [one for one in killed if not one.violations]
    slowest = max((one.recovered_in for one in killed), default=0.0)
    name = flow.name if flow else "all flows"
    return f"{name:45} {len(killed):4} killed {len(recovered):4} healed, the slowest in {slowest:5.1f} s"


def _lines(log: Path) -> list[str]:
    return [f"{log.stem}: {line}" for line in log.read_text().splitlines()[-400:]] if log.exists() else []


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
