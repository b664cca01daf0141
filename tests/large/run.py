"""`python -m tests.large.run --size 5G`: a result and an upload of 5 GB through real processes, in bounded memory."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.memory import SMALL, size_of
from tests.kill.emulator import emulator
from tests.large.transfers import TransferReport, run_transfers

MOST = 200 * 10**6
"""Bytes that a worker process may take at its peak."""

MORE = 0.05
"""By how much, as a part, the peak of the larger file may be above that of the small one."""

LEASE = 600
"""Seconds. The emulator answers nobody while it joins the parts of a large object: on a busy machine for minutes."""


def violations(reports: list[TransferReport]) -> Iterator[str]:
    """What was promised and does not hold. `reports` is the small file, and then the large one, of each way."""
    for small, large in zip(reports[::2], reports[1::2], strict=True):
        for one in (small, large):
            if not one.intact:
                yield f"{one.what} of {one.size:,} bytes: what arrived is not what was sent"
            if one.peak >= MOST:
                yield f"{one.what} of {one.size:,} bytes: the worker took {one.peak / 1e6:.0f} MB"
        if large.peak > small.peak * (1 + MORE):
            yield f"{large.what}: the peak grew by {large.peak / small.peak - 1:.1%}"


def main() -> None:
    """Send them through, print what it took, and end with status 1 when a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.large.run", description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("5G"), help="the larger size (default: 5G)")
    options = parser.parse_args()
    reports = []
    say = sys.stdout.write
    say(f"{'':8}{'bytes':>15}{'job, s':>10}{'MB/s':>8}{'peak, MB':>10}\n")
    with tempfile.TemporaryDirectory(prefix="coatcheck-large-") as scratch, emulator(Path(scratch), lease=LEASE) as g:
        for one in run_transfers(g, (SMALL, options.size)):
            reports.append(one)
            rate = one.size / 1e6 / one.seconds
            say(f"{one.what:8}{one.size:15,}{one.seconds:10.1f}{rate:8.0f}{one.peak / 1e6:10.1f}\n")
            sys.stdout.flush()
    wrong = list(violations(reports))
    say(f"{len(wrong)} flaws\n")
    sys.stdout.writelines(f"{violation}\n" for violation in wrong)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
