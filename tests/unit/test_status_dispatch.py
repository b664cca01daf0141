"""What is done with a job is decided for each status by name: a status that is new falls into no other's treatment."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.errors import AlreadyFinished
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import CANCEL_WAITING, REQUEST_CANCEL, Status
from coatcheck_service.actions import cancel
from coatcheck_worker import sweep
from coatcheck_worker.dependencies import Ack, Redeliver
from coatcheck_worker.supervisor import claim, settle
from coatcheck_worker.sweep import jobs, recovery
from coatcheck_worker.sweep.dispatch import PendingDispatch
from tests.job_rows import NOW, make_job

DEPENDENCIES: Any = SimpleNamespace(clock=lambda: NOW, table="jobs")
CONTEXT: Any = SimpleNamespace(dependencies=DEPENDENCIES)

FINISHED_ACTION = jobs._move_to_removal_index
ACTIONS: dict[Status, Any] = {
    Status.SCHEDULED: PendingDispatch,
    Status.QUEUED: PendingDispatch,
    Status.RUNNING: recovery.take_over,
    Status.CANCELING: recovery.finish_cancel,
} | dict.fromkeys(Status.all_final(), FINISHED_ACTION)


def overdue(status: Status) -> Job:
    """A job that is due for all that may ever be due for one of its status."""
    return make_job(status=status, due_at=NOW - 1, lease_until=NOW - 1, expires_at=NOW - 1)


def paused() -> Status:
    """A status that is not in the table of today."""
    status = str.__new__(Status, "paused")
    status._name_, status._value_ = "PAUSED", "paused"
    return status


def action_name(status: Status) -> object:
    """What the sweeper is to do with an overdue job of the status."""
    action = jobs.action_for(overdue(status), NOW)
    return PendingDispatch if isinstance(action, PendingDispatch) else action


def test_the_sweeper_has_an_action_for_each_status() -> None:
    assert set(ACTIONS) == set(Status)
    assert {status: action_name(status) for status in Status} == ACTIONS


def test_a_message_of_an_unclaimed_job_is_treated_by_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    processed: list[Status] = []
    monkeypatch.setattr(sweep, "process_job", lambda _, job: processed.append(job.status))
    key = JobKey("t", "job_1")
    dispositions = {status: claim._disposition_of_unclaimed(DEPENDENCIES, key, overdue(status)) for status in Status}
    redelivered = {status for status, disposition in dispositions.items() if isinstance(disposition, Redeliver)}
    assert redelivered == {Status.SCHEDULED, Status.QUEUED}
    assert {disposition for status, disposition in dispositions.items() if status not in redelivered} == {Ack()}
    assert processed == [Status.CANCELING]  # a running job with attempts left is the sweeper's alone


def test_a_cancel_is_written_for_each_status_that_can_be_canceled() -> None:
    written = {}
    for status in Status:
        try:
            call = cancel._cancel_call(CONTEXT, overdue(status), cancel.CANCELED_BY_CLIENT)
        except AlreadyFinished:
            continue
        written[status] = call is not None
    assert written == dict.fromkeys((*CANCEL_WAITING.sources, *REQUEST_CANCEL.sources), True) | {
        Status.CANCELING: False,
        Status.CANCELED: False,
    }


@pytest.mark.parametrize(
    "decide",
    [
        lambda job: job.status.phase,
        lambda job: job.done,
        lambda job: jobs.action_for(job, NOW),
        lambda job: claim._disposition_of_unclaimed(DEPENDENCIES, JobKey("t", "job_1"), job),
        lambda job: cancel._cancel_call(CONTEXT, job, cancel.CANCELED_BY_CLIENT),
        lambda job: settle._was_our_write(job.status),
    ],
    ids=["phase", "done", "sweeper", "claim", "cancel", "settle"],
)
def test_a_new_status_is_treated_as_no_other(decide: Callable[[Job], object]) -> None:
    with pytest.raises(AssertionError, match="unreachable"):
        decide(overdue(paused()))
