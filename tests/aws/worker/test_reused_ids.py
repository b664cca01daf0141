"""An id is used again when its job is gone: whoever still holds the job before cannot touch the one after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from coatcheck.calls import Call
from coatcheck.clock import MINUTE, SECOND
from coatcheck.lifecycle import FAIL, SUCCEED, Status
from coatcheck.record import Blob, Job, JobError
from coatcheck.table import items, moves, notes
from coatcheck.table.keys import JobKey
from tests.aws.worker.world import Number, World

ERROR = JobError("handler-error", "of the job before")

Write = Callable[[str, Job, int], Call[moves.Outcome]]

OF_A_RUNNING_JOB: Mapping[str, Write] = {
    "beat": lambda table, job, now: moves.beat(table, job, now=now, lease=MINUTE, progress=None),
    "retry": lambda table, job, now: moves.retry(table, job, now=now, start_at=now, error=ERROR),
    "continue": lambda table, job, now: moves.continue_later(table, job, now=now, checkpoint=job.input),
    "succeed": lambda table, job, now: moves.settle(table, job, SUCCEED, now=now, result=job.input),
    "fail": lambda table, job, now: moves.settle(table, job, FAIL, now=now, error=ERROR),
    "request cancel": lambda table, job, now: moves.request_cancel(table, job, now=now),
}
OF_A_WAITING_JOB: Mapping[str, Write] = {
    "cancel waiting": lambda table, job, now: moves.cancel_waiting(table, job, now=now, error=ERROR),
    "expire": lambda table, job, now: moves.expire(table, job, now=now, error=ERROR),
    "postpone": lambda table, job, now: notes.postpone(table, job, due_at=now + MINUTE, dispatches=7),
    "dead letter": lambda table, job, now: notes.tell_of_dead_letter(table, job, "m", ERROR, now=now),
}
OF_A_FINISHED_JOB: Mapping[str, Write] = {
    "announce": lambda table, job, _: notes.announce(table, job, left=()),
    "forget": lambda table, job, now: notes.forget_job(table, job, now=now),
}


def after(world: World, before: Job) -> Job:
    """The next job under the id of `before`, which is gone."""
    world.door.send(items.delete_items(world.deployment.table, [JobKey(before.tenant, before.id).item()]))
    world.clock.ahead += SECOND
    return world.submit(id=before.id, queue_deadline=before.queue_deadline)


def claimed(world: World, job: Job) -> Job:
    key = JobKey(job.tenant, job.id)
    outcome = world.door.send(
        moves.claim(world.deployment.table, key, now=world.clock(), lease=MINUTE, owner=str(job.created_at))
    )
    assert isinstance(outcome, Job)
    return outcome


def refused(world: World, write: Write, old: Job, new: Job) -> None:
    outcome = world.door.send(write(world.deployment.table, old, world.clock()))
    assert outcome == moves.Refused(new)
    assert world.row(new) == new


@pytest.mark.parametrize("write", OF_A_RUNNING_JOB.values(), ids=OF_A_RUNNING_JOB)
def test_a_write_for_the_running_job_before_is_refused(world: World, write: Write) -> None:
    old = claimed(world, world.submit())
    refused(world, write, old, claimed(world, after(world, old)))


@pytest.mark.parametrize("write", OF_A_WAITING_JOB.values(), ids=OF_A_WAITING_JOB)
def test_a_write_for_the_waiting_job_before_is_refused(world: World, write: Write) -> None:
    old = world.submit(queue_deadline=world.clock() - MINUTE)
    refused(world, write, old, after(world, old))


@pytest.mark.parametrize("write", OF_A_FINISHED_JOB.values(), ids=OF_A_FINISHED_JOB)
def test_a_write_for_the_finished_job_before_is_refused(world: World, write: Write) -> None:
    def finished(job: Job) -> Job:
        settled = world.door.send(moves.settle(world.deployment.table, claimed(world, job), SUCCEED, now=world.clock()))
        assert isinstance(settled, Job)
        return settled

    old = finished(world.submit())
    refused(world, write, old, finished(after(world, old)))


def test_a_worker_of_the_job_before_discards_its_result(world: World) -> None:
    """Its attempt has the same number as the one that runs now."""
    old = world.submit()
    seen: list[Job] = []

    def outlived(value: Number, _: object) -> Number:
        seen.append(claimed(world, after(world, old)))
        return Number(n=value.n + 41)

    world.run(world.tools(outlived), old)
    assert world.row(old) == seen[0]
    assert seen[0].status is Status.RUNNING
    assert seen[0].attempt == 1


def test_each_has_a_list_of_artifacts_of_its_own(world: World) -> None:
    old = claimed(world, world.submit())
    new = replace(old, created_at=old.created_at + SECOND)
    table, made = world.deployment.table, [Blob(1, b"s" * 32, "text/plain", "a.txt")]
    for job in (old, new):
        world.door.send(items.put_artifacts(table, job, made))
    assert world.door.send(items.delete_items(table, world.door.send(items.items_beside(table, old)))) is None
    assert world.door.send(items.get_artifacts(table, old)) == []
    assert world.door.send(items.get_artifacts(table, new)) == made
    assert world.door.send(items.items_beside(table, old)) == []
