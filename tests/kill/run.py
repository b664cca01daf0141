"""`python -m tests.kill.run`: kill real processes before and after every AWS call they make, and see all heal."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.kill.door import Point
from tests.kill.flows import FLOWS, Flow
from tests.kill.ground import ground
from tests.kill.wave import Pace, Told, play


def main() -> None:
    """Kill and heal, and end with status 1 when a job was not what it had to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill.run", description=__doc__)
    parser.add_argument("--lease", type=int, default=60, help="seconds after which a silent worker is given up")
    parser.add_argument("--sweep", type=float, default=60, help="seconds between two sweeps")
    parser.add_argument("--flow", choices=sorted(FLOWS), help="this flow alone")
    parser.add_argument("--point", type=Point.parse, help="this point of it alone, like main:3:after")
    parser.add_argument(
        "--short",
        action="store_true",
        help="leave each state in AWS once, instead of dying before and after every call",
    )
    options = parser.parse_args()
    if options.point and not options.flow:
        parser.error("--point needs the --flow it belongs to")
    flows = [FLOWS[options.flow]] if options.flow else list(FLOWS.values())
    pace = Pace(options.sweep, whole=not options.short)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="coatcheck-kill-") as scratch,
        ground(Path(scratch), lease=options.lease) as g,
    ):
        told = play(g, flows, pace, options.point)
        broken = [one for one in told if one.flaws]
        if broken:
            _say(*_lines(Path(scratch) / "healers.log"), *_lines(Path(scratch) / "victims.log"))
    for flow in flows:
        _say(_line(flow, [one for one in told if one.scene.flow is flow]))
    _say(_line(None, told), f"{time.monotonic() - began:.0f} s in all")
    for one in broken:
        again = f"python -m tests.kill.run --lease {options.lease} --sweep {options.sweep:g} {one.scene.name}"
        _say(f"BROKEN: {again}", *(f"  {flaw}" for flaw in one.flaws))
    sys.exit(bool(broken))


def _line(flow: Flow | None, told: Sequence[Told]) -> str:
    killed = [one for one in told if one.scene.point and not one.scene.missed]
    healed = [one for one in killed if not one.flaws]
    slowest = max((one.healed_in for one in killed), default=0.0)
    name = flow.name if flow else "all flows"
    return f"{name:45} {len(killed):4} killed {len(healed):4} healed, the slowest in {slowest:5.1f} s"


def _lines(log: Path) -> list[str]:
    return [f"{log.stem}: {line}" for line in log.read_text().splitlines()[-400:]] if log.exists() else []


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
