"""Why a job waits, and which parked job is next."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from coatcheck.core.api.views import job_view
from coatcheck.core.job import JobEvent
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.priority import Priority
from coatcheck.core.slots import TURNS, Caps, Group, SlotCounts, Turn
from coatcheck.core.tenant_limits import TenantLimits
from coatcheck.core.waiting import WaitingReason, waiting_reason
from tests.job_rows import NOW, make_job


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, WaitingReason.QUEUE),
        ({"status": Status.SCHEDULED, "start_at": NOW + 1}, WaitingReason.DELAY),
        ({"slot": Slot.AWAITED, "home_shard": "due-1"}, WaitingReason.TENANT_LIMIT),
        ({"slot": Slot.HELD}, WaitingReason.QUEUE),
        ({"attempt": 1, "history": (JobEvent("job.retrying", NOW),)}, WaitingReason.RETRY),
        ({"attempt": 1, "history": (JobEvent("job.continuing", NOW),)}, WaitingReason.QUEUE),
        ({"attempt": 1, "type_missed_at": NOW, "history": (JobEvent("job.retrying", NOW),)}, WaitingReason.NO_WORKER),
        ({"status": Status.RUNNING}, None),
        ({"status": Status.SUCCEEDED}, None),
    ],
)
def test_a_row_says_why_its_job_waits(row: dict[str, Any], reason: WaitingReason | None) -> None:
    assert waiting_reason(make_job(**row)) is reason


def test_a_job_that_waits_has_a_window_for_its_start() -> None:
    view = job_view(make_job(status=Status.SCHEDULED, start_at=NOW + 1000, queue_deadline=NOW + 2000), (), "")
    assert view.start_window is not None
    assert view.start_window.model_dump() == {
        "earliest": "2027-01-15T08:00:01.000Z",
        "latest": "2027-01-15T08:00:02.000Z",
    }
    assert job_view(make_job(status=Status.RUNNING), (), "").start_window is None


LIMITS = TenantLimits(jobs_running=2, jobs_running_by_type={"slow": 1})


def turns(counts: SlotCounts) -> list[Turn]:
    return list(counts.turns(LIMITS))


@pytest.mark.parametrize(
    ("counts", "type_name", "room"),
    [
        (SlotCounts(), "slow", True),
        (SlotCounts(1, {"slow": 1}), "slow", False),
        (SlotCounts(1, {"slow": 1}), "fast", True),
        (SlotCounts(2, {"fast": 2}), "slow", False),
        (SlotCounts(2, {"fast": 2}), "fast", False),
    ],
)
def test_there_is_room_within_all_limits(counts: SlotCounts, type_name: str, room: bool) -> None:  # noqa: FBT001
    assert counts.has_room(Caps.of(LIMITS, type_name), type_name) is room


def test_a_type_without_room_has_no_turn() -> None:
    slow, fast = Group(Priority.HIGH, "slow"), Group(Priority.LOW, "fast")
    counts = SlotCounts(1, {"slow": 1}, {slow: 5, fast: 1})
    assert [turn.groups for turn in turns(counts)] == [[fast], [fast]]
    assert turns(SlotCounts(2, {"slow": 1, "fast": 1}, {slow: 5, fast: 1})) == []


def test_each_level_has_its_turn_and_none_is_left_out() -> None:
    parked = {Group(priority, "fast"): 9 for priority in Priority}
    first = [turns(SlotCounts(parked=parked, wakes=wakes))[0] for wakes in range(2 * len(TURNS))]
    assert Counter(turn.groups[0].priority for turn in first) == {
        Priority.HIGH: 8,
        Priority.NORMAL: 4,
        Priority.LOW: 2,
    }
    for priority in Priority:
        assert {turn.timed for turn in first if turn.groups[0].priority is priority} == {True, False}


def test_a_level_of_which_nothing_is_parked_leaves_its_turn_to_the_most_urgent() -> None:
    low, normal = Group(Priority.LOW, "fast"), Group(Priority.NORMAL, "fast")
    (first, *_) = turns(SlotCounts(parked={low: 1, normal: 1}, wakes=TURNS.index(Priority.HIGH)))
    assert first.groups == [normal]


@pytest.mark.parametrize(
    ("asked", "most", "exceeds"),
    [
        (Priority.HIGH, None, False),
        (Priority.HIGH, Priority.NORMAL, True),
        (Priority.NORMAL, Priority.NORMAL, False),
        (Priority.LOW, Priority.NORMAL, False),
    ],
)
def test_a_priority_may_be_limited(asked: Priority, most: Priority | None, exceeds: bool) -> None:  # noqa: FBT001
    assert asked.exceeds(most) is exceeds
