"""The short form of `make simulate`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from coatcheck.core.lifecycle import Status
from tests.simulation.faults import Fault
from tests.simulation.run import play_all
from tests.simulation.schedule import play
from tests.simulation.scheduler import Threads

SEEDS = 200
SEEDS_SKEWED = 60


def test_every_promise_is_kept_in_every_schedule() -> None:
    outcomes = list(play_all(range(SEEDS)))
    assert {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations} == {}
    assert sum(outcome.faults.total() for outcome in outcomes) >= 10 * SEEDS
    # batches of which something can be left out are rare, and so are runners that do not start
    rare = {Fault.LEFT_OUT, Fault.NOT_STARTED}
    assert all(sum(outcome.faults[fault] for outcome in outcomes) for fault in rare)
    often = set(Fault) - rare
    assert {fault for fault in often if sum(outcome.faults[fault] for outcome in outcomes) <= 10} == set()


def test_every_promise_is_kept_by_workers_whose_clocks_are_ten_minutes_apart() -> None:
    outcomes = list(play_all(range(SEEDS_SKEWED), apart=True))
    assert {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations} == {}
    assert sum(outcome.ended[Status.SUCCEEDED] for outcome in outcomes) > SEEDS_SKEWED


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_is_one_schedule(seed: int) -> None:
    traces: list[list[str]] = [[], []]
    for trace in traces:
        play(seed, Threads(), trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 10


def test_a_seed_is_the_same_schedule_in_another_process() -> None:
    command = [sys.executable, "-m", "tests.simulation.run", "--first", "7", "--trace"]
    outputs = {subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)}
    assert len(outputs) == 1
    assert outputs.pop().endswith("no promise was broken\n")
