"""The table of moves: what may happen to a job, and what never can."""

from __future__ import annotations

import pytest

from coatcheck.core.lifecycle import (
    CLAIM,
    CLAIM_SLOT,
    PARK,
    RENEW_LEASE,
    SUBMIT,
    SUBMIT_FOR_LATER,
    TRANSITIONS,
    UNPARK,
    WAKE,
    Guard,
    Phase,
    Slot,
    Status,
    Transition,
)

WAITING = {Status.SCHEDULED, Status.QUEUED}
HELD = {Status.RUNNING, Status.CANCELING}
FINAL = {Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.TIMED_OUT, Status.EXPIRED}


def test_every_status_is_waiting_held_or_final() -> None:
    assert set(Status) == WAITING | HELD | FINAL
    assert {status for status in Status if status.waiting} == WAITING
    assert {status for status in Status if status.active} == HELD
    assert {status for status in Status if status.final} == Status.all_final() == FINAL
    assert {status.phase for status in Status} == set(Phase)


@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda transition: transition.name)
def test_nothing_leaves_a_final_status(transition: Transition) -> None:
    assert not FINAL & set(transition.sources)


def test_every_unfinished_status_can_be_reached_and_can_end() -> None:
    reached = {transition.target for transition in TRANSITIONS}
    assert reached >= set(Status)
    ends = {status for status in Status if status.final}
    for _ in Status:
        ends |= {status for transition in TRANSITIONS if transition.target in ends for status in transition.sources}
    assert ends == set(Status)


@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda transition: transition.name)
def test_a_held_job_is_moved_only_under_its_fence_or_when_its_lease_is_out(transition: Transition) -> None:
    """The one exception is a client's wish to cancel, which ends nothing by itself."""
    for status, guards in transition.sources.items():
        if status in HELD and transition.target is not Status.CANCELING:
            assert guards & {Guard.FENCE, Guard.LEASE_EXPIRED}


@pytest.mark.parametrize("transition", [m for m in TRANSITIONS if m.by_sweeper], ids=lambda transition: transition.name)
def test_the_sweeper_takes_a_job_only_from_a_worker_whose_lease_is_out(transition: Transition) -> None:
    for guards in transition.guards(sweeper=True).values():
        assert {Guard.FENCE, Guard.LEASE_EXPIRED} <= guards


def test_only_a_claim_starts_an_attempt() -> None:
    assert [transition for transition in TRANSITIONS if transition.target is Status.RUNNING] == [CLAIM, CLAIM_SLOT]
    assert Guard.ATTEMPTS_LEFT in CLAIM.sources[Status.RUNNING]


def test_a_claim_starts_nothing_early_or_late() -> None:
    for claim in (CLAIM, CLAIM_SLOT):
        assert claim.sources[Status.QUEUED] >= {Guard.START_DUE, Guard.WITHIN_TTL}


def test_every_move_that_changes_the_status_is_told_in_the_history() -> None:
    untold = [transition for transition in TRANSITIONS if transition.event is None]
    assert untold == [PARK, WAKE, UNPARK, RENEW_LEASE]
    assert {transition.target for transition in untold} == {None}


@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda transition: transition.name)
def test_no_job_leaves_its_attempt_with_a_slot(transition: Transition) -> None:
    """A slot that is given back by nobody is lost: the counts do not find out by themselves."""
    leaves = transition.target is not None and not transition.target.active
    may_have_one = set(transition.sources) - {Status.SCHEDULED}
    assert transition.slot is Slot.NONE or not (leaves and may_have_one)


@pytest.mark.parametrize("transition", [m for m in TRANSITIONS if m.slot], ids=lambda transition: transition.name)
def test_the_slot_that_is_counted_is_the_one_that_the_job_has(transition: Transition) -> None:
    """Every move that changes it changes the version and, but for a parked job, the attempt."""
    for status, guards in transition.sources.items():
        assert status is Status.SCHEDULED or guards & {Guard.FENCE, Guard.UNCHANGED}


def test_a_job_begins_queued_or_scheduled() -> None:
    assert [transition for transition in TRANSITIONS if not transition.sources] == [SUBMIT, SUBMIT_FOR_LATER]
