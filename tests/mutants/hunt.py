"""`python -m tests.mutants.hunt`: bugs made on purpose, each of which a layer must find, the cheapest first."""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from tests.model.check import explore
from tests.model.life import Life, by_name
from tests.mutants import in_code, in_sweeper, in_table, in_upkeep
from tests.mutants.bugs import Bug
from tests.simulation.run import play_all, say

BUGS = {bug.name: bug for bug in (*in_table.BUGS, *in_code.BUGS, *in_upkeep.BUGS, *in_sweeper.BUGS)}
MOST_SEEDS = 6000


@dataclass(frozen=True, slots=True)
class Caught:
    """The layer that found a bug, and how; both empty where none did."""

    bug: str
    layer: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many schedules are played against a bug, and from which seed on."""

    first: int = 0
    seeds: int = MOST_SEEDS


def _by_model(bug: Bug, _: Effort) -> str | None:
    explored = explore(Life(bug.mutated(by_name())))
    return f"{len(explored.trace)} steps: {explored.flaw}" if explored.flaw else None


def _by_simulation(bug: Bug, effort: Effort) -> str | None:
    bug.apply()
    for outcome in play_all(range(effort.first, effort.first + effort.seeds)):
        if outcome.flaws:
            return f"seed {outcome.seed}: {outcome.flaws[0].strip().splitlines()[-1]}"
    return None


def _by_test(bug: Bug, _: Effort) -> str | None:
    assert bug.test is not None
    bug.apply()
    with contextlib.redirect_stdout(io.StringIO()):
        ended = pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", bug.test])
    return bug.test if ended == pytest.ExitCode.TESTS_FAILED else None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of tests: the bugs it can find at all, and how it looks for one; what it found, or None.

    `spoils`: it puts the bug into its process.
    """

    can_find: Callable[[Bug], bool]
    look: Callable[[Bug, Effort], str | None]
    spoils: bool = True


LAYERS: Mapping[str, Layer] = {
    "model": Layer(lambda bug: bug.table is not None, _by_model, spoils=False),
    "simulation": Layer(lambda bug: bug.test is None, _by_simulation),
    "test": Layer(lambda bug: bug.test is not None, _by_test),
}


def hunt(layer: str, name: str, effort: Effort) -> Caught:
    """Look for the bug `name` with one layer. The bug may stay in this process for good."""
    how = LAYERS[layer].look(BUGS[name], effort)
    return Caught(name) if how is None else Caught(name, layer, how)


def hunt_all(names: Iterable[str], layers: Iterable[str], effort: Effort, processes: int) -> Iterator[Caught]:
    """Look for each bug with each layer in turn until one finds it; where that spoils a process, in one of its own."""
    away = list(names)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pytest", "tests.mutants.in_code", "tests.mutants.hunt", "tests.simulation.schedule"]
    )
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        for layer in layers:
            names = [name for name in away if LAYERS[layer].can_find(BUGS[name])]
            looking = partial(hunt, layer, effort=effort)
            for caught in (pool.map if LAYERS[layer].spoils else map)(looking, names):
                if caught.layer:
                    away.remove(caught.bug)
                    yield caught
    yield from map(Caught, away)


def main() -> None:
    """Hunt every bug, and end with status 1 when one got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.hunt", description=__doc__)
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="how many schedules to play against each")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes to hunt in")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS), help="the layers to hunt with")
    parser.add_argument("--bugs", nargs="+", choices=BUGS, default=list(BUGS), help="the bugs to hunt", metavar="BUG")
    options = parser.parse_args()
    found = 0
    for caught in hunt_all(options.bugs, options.layers, Effort(options.first, options.seeds), options.jobs):
        say(f"{caught.bug:<74} {caught.layer or 'GOT AWAY':<10} {caught.how}")
        found += bool(caught.layer)
    say(f"{found} of {len(options.bugs)} bugs were found")
    sys.exit(found < len(options.bugs))


if __name__ == "__main__":
    main()
