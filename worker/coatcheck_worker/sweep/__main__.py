"""`python -m coatcheck_worker.sweep --every SECONDS`: the sweeper as a loop, where no schedule invokes the Lambda."""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.clock import milliseconds, system_clock
from coatcheck.core.log import configure
from coatcheck.core.settings import BadSettings, Settings
from coatcheck.core.shards import MAX_SHARDS
from coatcheck.telemetry.pump import start_pump
from coatcheck_worker.aws import connect
from coatcheck_worker.dependencies import Dependencies, threaded_map
from coatcheck_worker.health_check import report_healthy
from coatcheck_worker.process_isolation import hide_memory
from coatcheck_worker.sweep import SWEEP_THREADS, ShardAssignment, shards_of, sweep

log = logging.getLogger(__name__)


def main(make_transport: Callable[[], Transport] = connect) -> None:
    """Parse the command line and sweep until SIGTERM. `make_transport` makes the transport: tests bring their own."""
    parser = argparse.ArgumentParser(prog="python -m coatcheck_worker.sweep", description="Attend to overdue jobs.")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two sweeps")
    parser.add_argument(
        "--share", type=_assignment_argument, default=(0, 1), metavar="N/M", help="be the Nth of M sweepers"
    )
    parser.add_argument(
        "--health-file", type=Path, metavar="FILE", help="touch this file after each sweep, for a health check"
    )
    options = parser.parse_args()
    if options.every <= 0:
        parser.error("--every must be more than 0")
    try:
        settings = Settings.from_env(os.environ)
        start_pump(settings)
    except BadSettings as error:
        sys.exit(str(error))
    configure(settings.log)
    hide_memory()
    parallel_map = threaded_map(SWEEP_THREADS)
    dependencies = Dependencies(
        make_transport(), settings, clock=system_clock, roll=random.random, parallel_map=parallel_map
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    index, parts = options.share
    began, full_sweep_at = time.monotonic(), dependencies.clock()
    while not ended.wait(max(0.0, options.every - (time.monotonic() - began))):
        began, now = time.monotonic(), dependencies.clock()
        shards = shards_of(settings, now - full_sweep_at)
        if shards == MAX_SHARDS:
            full_sweep_at = now
        assignment, until = ShardAssignment.part(index, parts, shards), now + milliseconds(max(options.every, 10))
        if _sweep(dependencies, assignment, until=until):
            report_healthy(options.health_file)


def _sweep(dependencies: Dependencies, assignment: ShardAssignment, *, until: int) -> bool:
    """Sweep once. Returns whether the sweep came to its end."""
    try:
        sweep(dependencies, until=until, assignment=assignment)
    except AwsError as error:
        log.warning("the sweep is not whole: %s", error)
    except Exception:
        # every promise depends on this loop: whatever one sweep fails on, the next one runs
        log.exception("the sweep failed")
    else:
        return True
    return False


def _assignment_argument(text: str) -> tuple[int, int]:
    try:
        number, parts = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError("must be N/M, such as 1/4") from None
    if not 1 <= number <= parts:
        raise argparse.ArgumentTypeError("N must be from 1 to M")
    return number - 1, parts


if __name__ == "__main__":
    main()
