"""What each change of a job tells, by the events of the lifecycle."""

from __future__ import annotations

from typing import Any

import pytest

from coatcheck.core.clock import SECOND
from coatcheck.core.job import Blob, Job, JobError, JobEvent
from coatcheck.core.lifecycle import TRANSITIONS, Slot, Status
from coatcheck.core.metrics import jobs
from tests.job_rows import NOW, make_job
from tests.metric_lines import metric_lines

OF_TYPE = {"JobType": "test.job"}
OF_LANE = {"Lane": "default"}


def test_every_event_of_a_job_has_its_metrics() -> None:
    events = {transition.event for transition in TRANSITIONS if transition.event}
    assert events <= jobs._RECORD.keys()


def started(**changes: Any) -> Job:
    running: dict[str, Any] = {
        "status": Status.RUNNING,
        "attempt": 1,
        "started_at": NOW + 3 * SECOND,
        "claimed_at": NOW + 3 * SECOND,
    }
    return make_job(**(running | changes))


def test_a_job_is_submitted_once_though_it_is_queued_later() -> None:
    with metric_lines() as told:
        jobs.job_changed("job.scheduled", make_job(status=Status.SCHEDULED))
        jobs.job_changed("job.queued", make_job(version=2))
        assert told.values("JobsSubmitted", **OF_TYPE) == [1]
        assert told.values("InputBytes", **OF_TYPE) == [2]


@pytest.mark.parametrize(
    ("changes", "waited"),
    [
        ({}, [3]),
        ({"run_at": NOW + 2 * SECOND}, [1]),
        # only the first attempt waits for nothing but a worker
        ({"attempt": 2}, []),
        # this one may have waited for a slot of its tenant
        ({"slot": Slot.HELD}, []),
    ],
    ids=["at once", "later", "again", "capped"],
)
def test_how_long_a_job_waited(changes: dict[str, Any], waited: list[float]) -> None:
    with metric_lines() as told:
        jobs.job_changed("job.started", started(**changes))
        assert told.values("QueueTime", **OF_LANE) == waited
        assert told.values("AttemptsStarted", **OF_LANE) == [1]


def test_an_attempt_that_is_repeated_says_why() -> None:
    retried = JobEvent("job.retrying", NOW, JobError("worker-lost", "it stopped responding"))
    with metric_lines() as told:
        jobs.job_changed("job.retrying", make_job(attempt=1, history=(retried,)))
        assert told.values("AttemptsFailed", **OF_LANE, Error="worker-lost") == [1]
        assert told.values("JobsEnded", **OF_LANE, Outcome="failed") == []


@pytest.mark.parametrize(
    ("status", "share", "errors"),
    [(Status.SUCCEEDED, [0], 0), (Status.FAILED, [1], 1), (Status.TIMED_OUT, [1], 1), (Status.CANCELED, [], 0)],
    ids=str,
)
def test_how_a_job_ended(status: Status, share: list[float], errors: int) -> None:
    error = JobError("handler-error", "it raised") if share == [1] else None
    ended = started(
        status=status,
        finished_at=NOW + 8 * SECOND,
        result=Blob.of(b"12345", "text/plain") if status is Status.SUCCEEDED else None,
        history=(JobEvent(f"job.{status}", NOW, error),),
    )
    with metric_lines() as told:
        jobs.job_changed(f"job.{status}", ended)
        assert told.values("JobsEnded", **OF_TYPE, Outcome=status) == [1]
        assert told.values("JobsFailed", **OF_TYPE) == share
        assert told.values("RunTime", **OF_TYPE) == [5]
        assert told.values("Attempts", **OF_TYPE) == [1]
        assert told.values("ResultBytes", **OF_TYPE) == ([5] if status is Status.SUCCEEDED else [])
        assert len(told.values("AttemptsFailed", **OF_TYPE, Error="handler-error")) == errors
        assert [one.name for one in told.data() if "Tenant" in one.dimensions] == []


def test_a_job_that_never_ran_has_no_run_time() -> None:
    expired = make_job(status=Status.EXPIRED, finished_at=NOW + SECOND)
    with metric_lines(by_tenant=True) as told:
        jobs.job_changed("job.expired", expired)
        assert {one.name for one in told.data()} == {"JobsEnded", "TenantJobsEnded"}
        assert told.values("TenantJobsEnded", Tenant="t", Outcome="expired") == [1]


def test_whoever_changed_the_job_goes_on_whatever_its_metrics_fail_on(caplog: pytest.LogCaptureFixture) -> None:
    with metric_lines() as told:
        jobs.job_changed("job.unheard_of", make_job())
        assert told.data() == []
    assert "the metrics of job.unheard_of are not recorded" in caplog.text
