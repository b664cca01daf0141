"""`python -m worker.sweeper --every SECONDS`: the sweeper as a loop, where no schedule calls the Lambda."""

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

from coatcheck.calls import AwsError
from coatcheck.clock import milliseconds
from coatcheck.deployment import BadSettings, Deployment
from coatcheck.log import configure
from coatcheck.table.keys import MOST_SHARDS
from worker.aws import Aws, Boto
from worker.sweep import SWEEP_THREADS, Share, shards_of, sweep
from worker.tools import Tools, in_threads, system_clock

log = logging.getLogger(__name__)


def main(door: Callable[[], Aws] = Boto) -> None:
    """Parse the command line and sweep until SIGTERM. `door` makes the way to AWS: tests bring their own."""
    parser = argparse.ArgumentParser(prog="python -m worker.sweeper", description="Attend to overdue jobs.")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two sweeps")
    parser.add_argument("--share", type=_share, default=(0, 1), metavar="N/M", help="be the Nth of M sweepers")
    options = parser.parse_args()
    if options.every <= 0:
        parser.error("--every must be more than 0")
    try:
        deployment = Deployment.from_env(os.environ)
    except BadSettings as error:
        sys.exit(str(error))
    configure(deployment.log)
    side_by_side = in_threads(SWEEP_THREADS)
    tools = Tools(door(), deployment, {}, clock=system_clock, roll=random.random, side_by_side=side_by_side)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    index, parts = options.share
    began, all_at = time.monotonic(), tools.clock()
    while not ended.wait(max(0.0, options.every - (time.monotonic() - began))):
        began, now = time.monotonic(), tools.clock()
        shards = shards_of(deployment, now - all_at)
        if shards == MOST_SHARDS:
            all_at = now
        _sweep(tools, Share.part(index, parts, shards), until=now + milliseconds(max(options.every, 10)))


def _sweep(tools: Tools, share: Share, *, until: int) -> None:
    try:
        sweep(tools, until=until, share=share)
    except AwsError as error:
        log.warning("the sweep is not whole: %s", error)
    except Exception:
        # every promise rests on this loop: whatever one sweep fails on, the next one comes
        log.exception("the sweep failed")


def _share(text: str) -> tuple[int, int]:
    try:
        number, parts = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError("must be N/M, such as 1/4") from None
    if not 1 <= number <= parts:
        raise argparse.ArgumentTypeError("N must be from 1 to M")
    return number - 1, parts


if __name__ == "__main__":
    main()
