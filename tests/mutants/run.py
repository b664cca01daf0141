"""`python -m tests.mutants.run`: bugs made on purpose, each of which a layer must find, the cheapest first."""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from tests.model.check import explore
from tests.model.machine import JobMachine, by_name
from tests.mutants import (
    code_mutants,
    leg_mutants,
    lifecycle_mutants,
    maintenance_mutants,
    slot_mutants,
    supervisor_mutants,
    sweeper_mutants,
    tally_mutants,
)
from tests.mutants.mutant import BUG, Mutant
from tests.simulation.run import play_all, say

MUTANTS = {
    mutant.name: mutant
    for mutant in (
        *lifecycle_mutants.MUTANTS,
        *code_mutants.MUTANTS,
        *leg_mutants.MUTANTS,
        *maintenance_mutants.MUTANTS,
        *slot_mutants.MUTANTS,
        *sweeper_mutants.MUTANTS,
        *supervisor_mutants.MUTANTS,
        *tally_mutants.MUTANTS,
    )
}
MOST_SEEDS = 6000


@dataclass(frozen=True, slots=True)
class Detection:
    """The layer that found a bug, and how; both empty where none did."""

    mutant: str
    layer: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many schedules are played against a bug, and from which seed on."""

    first: int = 0
    seeds: int = MOST_SEEDS


def _by_model(mutant: Mutant, _: Effort) -> str | None:
    explored = explore(JobMachine(mutant.mutated(by_name())))
    return f"{len(explored.trace)} steps: {explored.violation}" if explored.violation else None


def _by_simulation(mutant: Mutant, effort: Effort) -> str | None:
    mutant.apply()
    for outcome in play_all(range(effort.first, effort.first + effort.seeds)):
        if outcome.violations:
            return f"seed {outcome.seed}: {outcome.violations[0].strip().splitlines()[-1]}"
    return None


def _by_test(mutant: Mutant, _: Effort) -> str | None:
    assert mutant.test is not None
    mutant.apply()
    os.environ[BUG] = mutant.name
    with contextlib.redirect_stdout(io.StringIO()):
        ended = pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", mutant.test])
    return mutant.test if ended == pytest.ExitCode.TESTS_FAILED else None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of tests: the bugs it can find at all, and how it looks for one; what it found, or None.

    `patches_process`: it puts the bug into its process.
    """

    can_find: Callable[[Mutant], bool]
    look: Callable[[Mutant, Effort], str | None]
    patches_process: bool = True


LAYERS: Mapping[str, Layer] = {
    "model": Layer(lambda mutant: mutant.table is not None, _by_model, patches_process=False),
    "simulation": Layer(lambda mutant: mutant.test is None, _by_simulation),
    "test": Layer(lambda mutant: mutant.test is not None, _by_test),
}


def detect(layer: str, name: str, effort: Effort) -> Detection:
    """Look for the bug `name` with one layer. The bug may stay in this process for good."""
    how = LAYERS[layer].look(MUTANTS[name], effort)
    return Detection(name) if how is None else Detection(name, layer, how)


def detect_all(names: Iterable[str], layers: Iterable[str], effort: Effort, processes: int) -> Iterator[Detection]:
    """Look for each bug with each layer in turn until one finds it; where that spoils a process, in one of its own."""
    undetected = list(names)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pytest", "tests.mutants.code_mutants", "tests.mutants.run", "tests.simulation.schedule"]
    )
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        for layer in layers:
            names = [name for name in undetected if LAYERS[layer].can_find(MUTANTS[name])]
            looking = partial(detect, layer, effort=effort)
            for detection in (pool.map if LAYERS[layer].patches_process else map)(looking, names):
                if detection.layer:
                    undetected.remove(detection.mutant)
                    yield detection
    yield from map(Detection, undetected)


def main() -> None:
    """Hunt every bug, and end with status 1 when one got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="how many schedules to play against each")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes to hunt in")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS), help="the layers to hunt with")
    parser.add_argument(
        "--bugs", nargs="+", choices=MUTANTS, default=list(MUTANTS), help="the bugs to hunt", metavar="BUG"
    )
    options = parser.parse_args()
    found = 0
    for detection in detect_all(options.bugs, options.layers, Effort(options.first, options.seeds), options.jobs):
        say(f"{detection.mutant:<74} {detection.layer or 'GOT AWAY':<10} {detection.how}")
        found += bool(detection.layer)
    say(f"{found} of {len(options.bugs)} bugs were found")
    sys.exit(found < len(options.bugs))


if __name__ == "__main__":
    main()
