"""`python -m tests.load.run`: many jobs while workers are killed, AWS fails and messages come twice."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.kill.emulator import emulator
from tests.load.faulty_transports import FaultRates
from tests.load.workload import Load, Report, run


def main() -> None:
    """Run the load, and end with status 1 when a job did not succeed once."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.run", description=__doc__)
    parser.add_argument("--jobs", type=int, default=500, help="how many jobs, each of 0.5 to 3 s")
    parser.add_argument("--workers", type=int, default=2, help="workers, each with two runners")
    parser.add_argument("--kill-every", type=float, default=2.0, help="seconds between two kills of a process")
    parser.add_argument("--faults", type=float, default=0.05, help="part of the AWS calls that fails")
    parser.add_argument("--doubled", type=float, default=0.1, help="part of the messages that comes twice")
    parser.add_argument("--lease", type=int, default=60, help="seconds after which a silent worker is given up")
    parser.add_argument("--sweep", type=float, default=60, help="seconds between two sweeps")
    parser.add_argument("--give-up", type=float, default=1800, help="seconds after which all must be done")
    options = parser.parse_args()
    load = Load(
        jobs=options.jobs,
        workers=options.workers,
        kill_every=options.kill_every,
        fault_rates=FaultRates(options.faults, options.doubled),
        sweep_every=options.sweep,
        give_up_after=options.give_up,
    )
    with (
        tempfile.TemporaryDirectory(prefix="coatcheck-load-") as scratch,
        emulator(Path(scratch), lease=options.lease) as g,
    ):
        report = run(g, load)
    sys.stdout.writelines(f"{line}\n" for line in summary(load, report))
    sys.exit(bool(report.violations))


def summary(load: Load, report: Report) -> list[str]:
    """The report in words."""
    again = ", ".join(f"{count} {why}" for why, count in report.again.most_common()) or "none"
    return [
        f"{load.jobs} jobs on {load.workers} workers in {report.seconds:.0f} s; {report.kills} kills",
        f"{report.attempts} attempts, {report.attempts - load.jobs} more than jobs, explained by: {again}",
        f"{len(report.violations)} flaws",
        *report.violations,
    ]


if __name__ == "__main__":
    main()
