"""Bugs in the table of the lifecycle."""

from __future__ import annotations

from coatcheck.core import lifecycle
from coatcheck.core.lifecycle import TRANSITIONS, Guard, Status
from tests.mutants.mutant import Mutant, also_from, never_from, without

SETTLING = (lifecycle.SUCCEED, lifecycle.FAIL, lifecycle.TIME_OUT, lifecycle.CANCEL)

MUTANTS = (
    Mutant("no fence at all", without(Guard.FENCE, *TRANSITIONS)),
    Mutant("settling without a fence", without(Guard.FENCE, *SETTLING)),
    Mutant("retry without a fence", without(Guard.FENCE, lifecycle.RETRY)),
    Mutant("continue without a fence", without(Guard.FENCE, lifecycle.CONTINUE)),
    Mutant("beat without a fence", without(Guard.FENCE, lifecycle.RENEW_LEASE)),
    Mutant("a belated beat moves the lease back", without(Guard.LEASE_NOT_SHORTENED, lifecycle.RENEW_LEASE)),
    Mutant(
        "the sweeper's writes do not ask for the lease",
        {transition: {"by_sweeper": False} for transition in TRANSITIONS},
    ),
    Mutant("claim of a job whose lease runs", without(Guard.LEASE_EXPIRED, lifecycle.CLAIM)),
    Mutant("claim with no attempts left", without(Guard.ATTEMPTS_LEFT, lifecycle.CLAIM)),
    Mutant("claim before the start", without(Guard.START_DUE, lifecycle.CLAIM)),
    Mutant("claim of what should have expired", without(Guard.WITHIN_TTL, lifecycle.CLAIM)),
    Mutant("release before the start", without(Guard.START_DUE, lifecycle.RELEASE)),
    Mutant("release of what runs already", also_from(lifecycle.RELEASE, Status.RUNNING)),
    Mutant("what was scheduled is never released", never_from(lifecycle.RELEASE, Status.SCHEDULED)),
    Mutant("expiry of what was started and tried again", without(Guard.TTL_PASSED, lifecycle.EXPIRE)),
    Mutant("success of a job that is being canceled", also_from(lifecycle.SUCCEED, Status.CANCELING)),
    Mutant("success from any status", also_from(lifecycle.SUCCEED, *Status)),
    Mutant("failure of a job that has ended", also_from(lifecycle.FAIL, *Status.all_final())),
    Mutant("a cancel that was accepted is overwritten by a retry", also_from(lifecycle.RETRY, Status.CANCELING)),
    Mutant("a running job is canceled over its worker's head", also_from(lifecycle.CANCEL_WAITING, Status.RUNNING)),
    Mutant("a cancel that was decided on before the start", without(Guard.UNCHANGED, lifecycle.CANCEL_WAITING)),
    Mutant("a waiting job is asked to stop, and nobody hears", also_from(lifecycle.REQUEST_CANCEL, Status.QUEUED)),
)
