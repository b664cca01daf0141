"""Whether the worker or the sweeper of a container is well: `python -m coatcheck_worker.health_check FILE`.

The process touches a file, `--health-file`, as long as it is. One that stands still, or that starts its processes again
and again, does not, and a container service replaces it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

WITHIN = 60.0
"""Seconds: longer than a process of a lane takes to be replaced."""


def report_healthy(file: Path | None) -> None:
    """Say that this process is well, in the `file` of its health check if it has one."""
    if file is not None:
        # a full disk is no reason to end a job: the check fails, and says so
        with contextlib.suppress(OSError):
            file.touch()


def main() -> None:
    """End with 0 if the file was touched lately, and else with one line on why not."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.health_check", description=__doc__)
    parser.add_argument("file", type=Path, help="what --health-file of the process names")
    parser.add_argument(
        "--within", type=float, default=WITHIN, help=f"seconds since it was touched, at most ({WITHIN:g} unless given)"
    )
    options = parser.parse_args()
    try:
        age = time.time() - options.file.stat().st_mtime
    except OSError as error:
        sys.exit(f"not well yet: {error}")
    if age > options.within:
        sys.exit(f"not well for {age:.0f} s")


if __name__ == "__main__":
    main()
