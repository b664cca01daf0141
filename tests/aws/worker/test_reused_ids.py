"""An id is used again when its job is gone: whoever still holds the job before cannot touch the one after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Artifact, Blob, Job, JobError
from coatcheck.core.lifecycle import FAIL, SUCCEED, Status
from tests.aws.worker.worker_harness import Number, WorkerHarness

ERROR = JobError("handler-error", "of the job before")

Write = Callable[[str, Job, int], Call[transitions.TransitionOutcome]]

OF_A_RUNNING_JOB: Mapping[str, Write] = {
    "renew lease": lambda table, job, now: transitions.renew_lease(table, job, now=now, lease=MINUTE, progress=None),
    "retry": lambda table, job, now: transitions.retry(table, job, now=now, start_at=now, error=ERROR),
    "continue": lambda table, job, now: transitions.continue_later(table, job, now=now, checkpoint=job.input),
    "succeed": lambda table, job, now: transitions.settle(table, job, SUCCEED, now=now, result=job.input),
    "fail": lambda table, job, now: transitions.settle(table, job, FAIL, now=now, error=ERROR),
    "request cancel": lambda table, job, now: transitions.request_cancel(table, job, now=now),
}
OF_A_WAITING_JOB: Mapping[str, Write] = {
    "cancel waiting": lambda table, job, now: transitions.cancel_waiting(table, job, now=now, error=ERROR),
    "expire": lambda table, job, now: transitions.expire(table, job, now=now, error=ERROR),
    "postpone": lambda table, job, now: job_updates.postpone(table, job, due_at=now + MINUTE, dispatches=7),
    "dead letter": lambda table, job, now: job_updates.record_dead_letter(table, job, "m", ERROR, now=now),
}
OF_A_FINISHED_JOB: Mapping[str, Write] = {
    "announce": lambda table, job, _: job_updates.mark_notified(table, job, remaining=()),
    "forget": lambda table, job, now: job_updates.purge_job(table, job, now=now),
}


def after(harness: WorkerHarness, before: Job) -> Job:
    """The next job under the id of `before`, which is gone."""
    harness.transport.send(job_items.delete_items(harness.settings.table, [JobKey(before.tenant, before.id).item()]))
    harness.clock.ahead += SECOND
    return harness.submit(id=before.id, queue_deadline=before.queue_deadline)


def claimed(harness: WorkerHarness, job: Job) -> Job:
    key = JobKey(job.tenant, job.id)
    outcome = harness.transport.send(
        transitions.claim(harness.settings.table, key, now=harness.clock(), lease=MINUTE, owner=str(job.created_at))
    )
    assert isinstance(outcome, Job)
    return outcome


def refused(harness: WorkerHarness, write: Write, old: Job, new: Job) -> None:
    outcome = harness.transport.send(write(harness.settings.table, old, harness.clock()))
    assert outcome == transitions.TransitionRefused(new)
    assert harness.row(new) == new


@pytest.mark.parametrize("write", OF_A_RUNNING_JOB.values(), ids=OF_A_RUNNING_JOB)
def test_a_write_for_the_running_job_before_is_refused(harness: WorkerHarness, write: Write) -> None:
    old = claimed(harness, harness.submit())
    refused(harness, write, old, claimed(harness, after(harness, old)))


@pytest.mark.parametrize("write", OF_A_WAITING_JOB.values(), ids=OF_A_WAITING_JOB)
def test_a_write_for_the_waiting_job_before_is_refused(harness: WorkerHarness, write: Write) -> None:
    old = harness.submit(queue_deadline=harness.clock() - MINUTE)
    refused(harness, write, old, after(harness, old))


@pytest.mark.parametrize("write", OF_A_FINISHED_JOB.values(), ids=OF_A_FINISHED_JOB)
def test_a_write_for_the_finished_job_before_is_refused(harness: WorkerHarness, write: Write) -> None:
    def finished(job: Job) -> Job:
        settled = harness.transport.send(
            transitions.settle(harness.settings.table, claimed(harness, job), SUCCEED, now=harness.clock())
        )
        assert isinstance(settled, Job)
        return settled

    old = finished(harness.submit())
    refused(harness, write, old, finished(after(harness, old)))


def test_a_worker_of_the_job_before_discards_its_result(harness: WorkerHarness) -> None:
    """Its attempt has the same number as the one that runs now."""
    old = harness.submit()
    seen: list[Job] = []

    def outlived(value: Number, _: object) -> Number:
        seen.append(claimed(harness, after(harness, old)))
        return Number(n=value.n + 41)

    harness.run(harness.dependencies(outlived), old)
    assert harness.row(old) == seen[0]
    assert seen[0].status is Status.RUNNING
    assert seen[0].attempt == 1


def test_each_has_a_list_of_artifacts_of_its_own(harness: WorkerHarness) -> None:
    old = claimed(harness, harness.submit())
    new = replace(old, created_at=old.created_at + SECOND)
    table, made = harness.settings.table, [Blob(1, b"s" * 32, "text/plain", "a.txt")]
    for job in (old, new):
        harness.transport.send(job_items.put_artifacts(table, job, made))
    assert (
        harness.transport.send(
            job_items.delete_items(table, harness.transport.send(job_items.list_job_items(table, old)))
        )
        is None
    )
    assert harness.transport.send(job_items.get_artifacts(table, old)) == []
    assert harness.transport.send(job_items.get_artifacts(table, new)) == [Artifact(made[0], new.attempt)]
    assert harness.transport.send(job_items.list_job_items(table, old)) == []
