"""Bugs in the slots of tenants whose running jobs are limited."""

from __future__ import annotations

from coatcheck.core import lifecycle
from coatcheck.core.lifecycle import Guard
from coatcheck_worker.sweep import parked
from tests.mutants.mutant import Mutant, patched, returning, without

WOKEN = "tests/aws/worker/test_running_caps.py"

MUTANTS = (
    Mutant("a job that succeeds keeps its slot", {lifecycle.SUCCEED: {"slot": None}}),
    Mutant("a job that is retried keeps its slot", {lifecycle.RETRY: {"slot": None}}),
    Mutant("a parked job that is canceled stays counted", {lifecycle.CANCEL_WAITING: {"slot": None}}),
    Mutant("a slot is taken that is not free", without(Guard.ROOM, lifecycle.CLAIM_SLOT)),
    Mutant("a job is woken for a slot that is not free", without(Guard.ROOM, lifecycle.WAKE)),
    Mutant("a parked job is claimed", without(Guard.NOT_PARKED, lifecycle.CLAIM)),
    Mutant("what was parked meanwhile expires as it was read", without(Guard.UNCHANGED, lifecycle.EXPIRE)),
    Mutant("nobody visits a tenant that has parked jobs", patch=patched(parked, "_visit", returning("visited"))),
    Mutant(
        "whoever gives a slot back wakes nobody",
        patch=patched(parked, "_visit", returning("visited")),
        test=f"{WOKEN}::test_the_end_of_a_job_wakes_the_next",
    ),
)
