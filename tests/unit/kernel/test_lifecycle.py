"""The table of moves: what may happen to a job, and what never can."""

from __future__ import annotations

import pytest

from coatcheck.lifecycle import BEAT, CLAIM, FINAL, MOVES, SUBMIT, SUBMIT_FOR_LATER, Guard, Move, Status

WAITING = {Status.SCHEDULED, Status.QUEUED}
HELD = {Status.RUNNING, Status.CANCELING}


def test_every_status_is_waiting_held_or_final() -> None:
    assert set(Status) == WAITING | HELD | FINAL
    assert {status for status in Status if status.final} == FINAL


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.name)
def test_nothing_leaves_a_final_status(move: Move) -> None:
    assert not FINAL & set(move.sources)


def test_every_unfinished_status_can_be_reached_and_can_end() -> None:
    reached = {move.target for move in MOVES}
    assert reached >= set(Status)
    ends = {status for status in Status if status.final}
    for _ in Status:
        ends |= {status for move in MOVES if move.target in ends for status in move.sources}
    assert ends == set(Status)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.name)
def test_a_held_job_is_moved_only_under_its_fence_or_when_its_lease_is_out(move: Move) -> None:
    """The one exception is a client's wish to cancel, which ends nothing by itself."""
    for status, guards in move.sources.items():
        if status in HELD and move.target is not Status.CANCELING:
            assert guards & {Guard.FENCE, Guard.LEASE_OUT}


@pytest.mark.parametrize("move", [m for m in MOVES if m.by_sweeper], ids=lambda move: move.name)
def test_the_sweeper_takes_a_job_only_from_a_worker_whose_lease_is_out(move: Move) -> None:
    for guards in move.guards(sweeper=True).values():
        assert {Guard.FENCE, Guard.LEASE_OUT} <= guards


def test_only_a_claim_starts_an_attempt() -> None:
    assert [move for move in MOVES if move.target is Status.RUNNING] == [CLAIM]
    assert Guard.ATTEMPTS_LEFT in CLAIM.sources[Status.RUNNING]


def test_a_claim_starts_nothing_early_or_late() -> None:
    assert CLAIM.sources[Status.QUEUED] == {Guard.START_DUE, Guard.IN_TIME}


def test_every_move_but_a_beat_is_told_in_the_history() -> None:
    assert [move for move in MOVES if move.event is None] == [BEAT]


def test_a_job_begins_queued_or_scheduled() -> None:
    assert [move for move in MOVES if not move.sources] == [SUBMIT, SUBMIT_FOR_LATER]
