"""Fuzzes the events of queues: `python -m tests.hostile.queue_events --events 1000000`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.hostile.queue_events.campaign import batches_for, fuzz

SHOWN = 20


def main() -> int:
    """Print what is wrong, and how many records a second were processed. Returns 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.queue_events", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="records in all, about")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; each batch has the next one")
    arguments = parser.parse_args()
    batches = batches_for(arguments.events)
    started = time.perf_counter()
    findings = list(fuzz(range(arguments.seed, arguments.seed + batches)))
    seconds = time.perf_counter() - started
    for finding in findings[:SHOWN]:
        print(f"seed {finding.seed}: {finding.wrong[:2000]}")
    speed = arguments.events / seconds
    print(f"{arguments.events:,} records in {batches:,} events, {speed:,.0f} records/s, {len(findings)} wrong")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
