"""Bugs in the slots of tenants whose running jobs are limited."""

from __future__ import annotations

from coatcheck.core import lifecycle
from coatcheck.core.flows import follow_up
from coatcheck.core.lifecycle import Guard
from coatcheck_worker.sweep import parked
from tests.mutants.mutant import Mutant, patched, returning, without

CAPS = "tests/aws/worker/test_running_caps.py"
SLOTS = "tests/aws/worker/test_slots.py"

MUTANTS = (
    Mutant("a job that succeeds keeps its slot", {lifecycle.SUCCEED: {"slot": None}}),
    Mutant(
        "a job that is retried keeps its slot",
        {lifecycle.RETRY: {"slot": None}},
        test=f"{CAPS}::test_a_retry_gives_its_slot_back_while_it_waits",
    ),
    Mutant(
        "a parked job that is canceled stays counted",
        {lifecycle.CANCEL_WAITING: {"slot": None}},
        test=f"{SLOTS}::test_a_parked_job_ends_and_is_counted_no_more",
    ),
    Mutant(
        "a slot is taken that is not free",
        without(Guard.ROOM, lifecycle.CLAIM_SLOT),
        test=f"{SLOTS}::test_as_many_are_claimed_as_may_run",
    ),
    Mutant(
        "a job is woken for a slot that is not free",
        without(Guard.ROOM, lifecycle.WAKE),
        test=f"{SLOTS}::test_a_job_is_woken_only_for_a_slot_that_is_free",
    ),
    Mutant(
        "a parked job is claimed",
        without(Guard.NOT_PARKED, lifecycle.CLAIM),
        test=f"{SLOTS}::test_a_parked_job_is_claimed_only_when_it_was_woken",
    ),
    Mutant(
        "what was parked meanwhile expires as it was read",
        without(Guard.UNCHANGED, lifecycle.EXPIRE),
        test=f"{SLOTS}::test_what_was_parked_meanwhile_does_not_expire_as_it_was_read",
    ),
    Mutant("nobody visits a tenant that has parked jobs", patch=patched(parked, "_visit", returning("visited"))),
    Mutant(
        "whoever gives a slot back wakes nobody",
        patch=patched(follow_up, "hand_on_slot", returning(())),
        test=f"{CAPS}::test_the_end_of_a_job_wakes_the_next",
    ),
)
