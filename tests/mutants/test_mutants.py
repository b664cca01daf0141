"""The short form of `make mutants`: without the bugs that only many schedules find."""

from __future__ import annotations

from coatcheck.lifecycle import MOVES
from tests.model.life import by_name
from tests.mutants import in_table
from tests.mutants.hunt import BUGS, LAYERS, Effort, hunt_all

RARE = {
    "a loser discards the winner's result",
    "a worker that lost its lease goes on, and settles what the row is in",
    "DELETE leaves the bytes",
    "an upload can be completed once",
    "what was told is noted over what others noted",
    "what a newer version wrote is written over",
}
SEEDS = 120


def test_seeded_bugs_are_found() -> None:
    names = BUGS.keys() - RARE
    found = list(hunt_all(sorted(names), LAYERS, Effort(seeds=SEEDS), processes=2))
    assert [caught.bug for caught in found if not caught.layer] == []
    assert len(found) == len(names) >= 60


def test_the_table_that_a_bug_is_looked_for_in_is_a_copy() -> None:
    before = {move.name: (move.sources, move.by_sweeper) for move in MOVES}
    for bug in in_table.BUGS:
        mutated = bug.mutated(by_name())
        assert {name: (move.sources, move.by_sweeper) for name, move in mutated.items()} != before
    assert {move.name: (move.sources, move.by_sweeper) for move in MOVES} == before
