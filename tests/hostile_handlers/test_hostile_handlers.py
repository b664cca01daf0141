"""Whatever a handler does to its process, its attempt ends as documented, and the jobs around it do not suffer."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coatcheck.core.lifecycle import Status
from coatcheck_worker.supervisor.heartbeat import STOP_GRACE
from tests.hostile_handlers.answers import TIMEOUT
from tests.hostile_handlers.expected import EXPECTED
from tests.hostile_handlers.handlers import HANDLERS
from tests.hostile_handlers.trial import BESIDE, Tried, made_trial

SLACK = 40
"""Seconds more than an attempt may take: other tests run beside this, and four of these at once."""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Tried], list[Tried], set[int]]]:
    """What came of each handler, of the jobs beside and after them, and what processes are left."""
    scratch = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        patch.setenv("AWS_SECRET_ACCESS_KEY", "the worker's")
        patch.setenv("COATCHECK_TABLE", "the worker's")
        with made_trial(scratch) as made:
            tried, others = made.run_all(list(HANDLERS))
            yield tried, others, _processes_below(os.getpid())


def _processes_below(process: int) -> set[int]:
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), set()).add(int(stat.parent.name))
    below, todo = set[int](), {process}
    while todo:
        todo = {child for one in todo for child in children.get(one, set())}
        below |= todo
    return below


def test_each_handler_is_expected_to_end_somehow() -> None:
    assert HANDLERS.keys() == EXPECTED.keys()
    assert len(HANDLERS) >= 60


@pytest.mark.parametrize("name", HANDLERS)
def test_its_attempt_ends_as_documented(trial: tuple[dict[str, Tried], list[Tried], set[int]], name: str) -> None:
    tried, expected = trial[0][name], EXPECTED[name]
    row = tried.row
    assert row.status is expected.status, row.error
    assert (row.error and row.error.code) == expected.code
    assert re.match(expected.detail, row.error.detail if row.error else ""), row.error
    if expected.text is not None:
        assert tried.text == expected.text
    left = [line for line in tried.lines if "left traces in its process" in line]
    assert bool(left) == bool(expected.traces), left
    assert re.search(expected.traces or "", " ".join(left))
    assert tried.seconds < (TIMEOUT + STOP_GRACE / 1000 if expected.stops else 0) + SLACK


def test_the_jobs_beside_and_after_them_succeed(trial: tuple[dict[str, Tried], list[Tried], set[int]]) -> None:
    others = trial[1]
    assert len(others) >= 2 * BESIDE
    assert {one.row.status for one in others} == {Status.SUCCEEDED}
    assert {one.text for one in others} == {"done"}


def test_nothing_that_they_started_is_left(trial: tuple[dict[str, Tried], list[Tried], set[int]]) -> None:
    commands = [Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0") for one in trial[2]]
    assert not [command for command in commands if b"sleep" in command[:1]]
    runners = [command for command in commands if b"tests.hostile_handlers.handlers" in command]
    # the forkserver, and the idle runners
    assert len(runners) <= 1 + 8


def test_no_line_of_the_log_is_forged(trial: tuple[dict[str, Tried], list[Tried], set[int]]) -> None:
    logged = trial[0]["logs_much"].lines
    assert len(logged) < 5000
    assert max(map(len, logged)) <= 16 * 1024
