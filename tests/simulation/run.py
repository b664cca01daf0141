"""`python -m tests.simulation.run --seeds 1000`: play seeded schedules, and say which break a promise."""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from coatcheck.core.lifecycle import Status
from tests.simulation.faults import Fault
from tests.simulation.schedule import Outcome, play
from tests.simulation.scheduler import Threads

BATCH = 50
COLLECT_EVERY = 20


@dataclass
class Tally:
    """What came of many schedules."""

    schedules: int = 0
    calls: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    ended: Counter[Status] = field(default_factory=Counter)
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.schedules += 1
        self.calls += outcome.calls
        self.faults += outcome.faults
        self.ended += outcome.ended
        if outcome.violations:
            self.broken.append(outcome)


def play_all(seeds: range, *, apart: bool = False) -> Iterator[Outcome]:
    """Play the schedules of `seeds` in this process, one after the other. `apart` is as in `play`."""
    logging.disable(logging.CRITICAL)
    threads = Threads()
    # a schedule makes much that the collector looks through in vain: it takes a seventh of the time
    gc.disable()
    try:
        for seed in seeds:
            yield play(seed, threads, apart=apart)
            if seed % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        gc.enable()
        threads.close()
        logging.disable(logging.NOTSET)


def tally(first: int, seeds: int, processes: int, report: Callable[[Outcome], None], *, apart: bool = False) -> Tally:
    """Play `seeds` schedules from `first` on, in so many processes; `report` hears of each that broke a promise."""
    total = Tally()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.simulation.schedule"])
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        starts = range(first, first + seeds, BATCH)
        batches = [range(s, min(s + BATCH, first + seeds)) for s in starts]
        for outcomes in pool.map(partial(_batch, apart=apart), batches):
            for outcome in outcomes:
                total.add(outcome)
                if outcome.violations:
                    report(outcome)
    return total


def _batch(seeds: range, *, apart: bool) -> list[Outcome]:
    return list(play_all(seeds, apart=apart))


def main() -> None:
    """Play, and end with status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules to play")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes to play in")
    parser.add_argument("--apart", action="store_true", help="always with the clocks of two workers ten minutes apart")
    parser.add_argument("--trace", action="store_true", help="play the first seed alone, and print all that happens")
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs must be 1 or more")
    if options.trace:
        sys.exit(_replay(options.first, apart=options.apart))
    began = time.monotonic()
    total = tally(
        options.first, options.seeds, options.jobs, partial(_report, apart=options.apart), apart=options.apart
    )
    rate = total.schedules / (time.monotonic() - began)
    last = options.first + options.seeds - 1
    say(
        f"seeds {options.first} to {last}: {total.schedules} schedules, {rate:.0f} a second",
        f"{total.calls} calls, {total.faults.total()} faults: {_listed(total.faults)}",
        f"{total.ended.total()} jobs: {_listed(total.ended)}",
        f"{len(total.broken)} schedules broke a promise",
    )
    sys.exit(bool(total.broken))


def _report(outcome: Outcome, *, apart: bool) -> None:
    say(
        f"seed {outcome.seed}: {outcome.violations[0]}",
        f"  replay it: python -m tests.simulation.run --first {outcome.seed} --trace{' --apart' * apart}",
    )


def say(*lines: str) -> None:
    """Print at once."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _replay(seed: int, *, apart: bool) -> bool:
    logging.disable(logging.CRITICAL)
    trace: list[str] = []
    outcome = play(seed, Threads(), trace, apart=apart)
    say(*trace, *(outcome.violations or ["no promise was broken"]))
    return bool(outcome.violations)


def _listed(counts: Counter[Fault] | Counter[Status]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


if __name__ == "__main__":
    main()
