"""The short form of `make mutants`: without the bugs that only many schedules find."""

from __future__ import annotations

import pytest

from coatcheck.core.lifecycle import TRANSITIONS
from tests.model.machine import by_name
from tests.mutants import lifecycle_mutants
from tests.mutants.run import LAYERS, MUTANTS, Effort, detect_all

RARE = {
    "a loser discards the winner's result",
    "a worker that lost its lease goes on, and settles what the row is in",
    "DELETE leaves the bytes",
    "an endpoint that was deleted is written to",
    "an upload can be completed once",
    "what was told is noted over what others noted",
    "what a newer version wrote is written over",
}
SEEDS = 120


@pytest.mark.timeout(900)
def test_seeded_bugs_are_found() -> None:
    names = MUTANTS.keys() - RARE
    found = list(detect_all(sorted(names), LAYERS, Effort(seeds=SEEDS), processes=2))
    assert [detection.mutant for detection in found if not detection.layer] == []
    assert len(found) == len(names) >= 100


def test_the_table_that_a_bug_is_looked_for_in_is_a_copy() -> None:
    before = {transition.name: (transition.sources, transition.by_sweeper) for transition in TRANSITIONS}
    for mutant in lifecycle_mutants.MUTANTS:
        mutated = mutant.mutated(by_name())
        assert {name: (transition.sources, transition.by_sweeper) for name, transition in mutated.items()} != before
    assert {transition.name: (transition.sources, transition.by_sweeper) for transition in TRANSITIONS} == before
