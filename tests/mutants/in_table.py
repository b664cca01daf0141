"""Bugs in the table of the lifecycle."""

from __future__ import annotations

from coatcheck import lifecycle
from coatcheck.lifecycle import FINAL, MOVES, Guard, Status
from tests.mutants.bugs import Bug, also_from, never_from, without

SETTLING = (lifecycle.SUCCEED, lifecycle.FAIL, lifecycle.TIME_OUT, lifecycle.CANCEL)

BUGS = (
    Bug("no fence at all", without(Guard.FENCE, *MOVES)),
    Bug("settling without a fence", without(Guard.FENCE, *SETTLING)),
    Bug("retry without a fence", without(Guard.FENCE, lifecycle.RETRY)),
    Bug("continue without a fence", without(Guard.FENCE, lifecycle.CONTINUE)),
    Bug("beat without a fence", without(Guard.FENCE, lifecycle.BEAT)),
    Bug("a belated beat moves the lease back", without(Guard.NO_SOONER, lifecycle.BEAT)),
    Bug("the sweeper's writes do not ask for the lease", {move: {"by_sweeper": False} for move in MOVES}),
    Bug("claim of a job whose lease runs", without(Guard.LEASE_OUT, lifecycle.CLAIM)),
    Bug("claim with no attempts left", without(Guard.ATTEMPTS_LEFT, lifecycle.CLAIM)),
    Bug("claim before the start", without(Guard.START_DUE, lifecycle.CLAIM)),
    Bug("claim of what should have expired", without(Guard.IN_TIME, lifecycle.CLAIM)),
    Bug("release before the start", without(Guard.START_DUE, lifecycle.RELEASE)),
    Bug("release of what runs already", also_from(lifecycle.RELEASE, Status.RUNNING)),
    Bug("what was scheduled is never released", never_from(lifecycle.RELEASE, Status.SCHEDULED)),
    Bug("expiry of what was started and tried again", without(Guard.TTL_PASSED, lifecycle.EXPIRE)),
    Bug("success of a job that is being canceled", also_from(lifecycle.SUCCEED, Status.CANCELING)),
    Bug("success from any status", also_from(lifecycle.SUCCEED, *Status)),
    Bug("failure of a job that has ended", also_from(lifecycle.FAIL, *FINAL)),
    Bug("a cancel that was accepted is overwritten by a retry", also_from(lifecycle.RETRY, Status.CANCELING)),
    Bug("a running job is canceled over its worker's head", also_from(lifecycle.CANCEL_WAITING, Status.RUNNING)),
    Bug("a cancel that was decided on before the start", without(Guard.UNCHANGED, lifecycle.CANCEL_WAITING)),
    Bug("a waiting job is asked to stop, and nobody hears", also_from(lifecycle.REQUEST_CANCEL, Status.QUEUED)),
)
