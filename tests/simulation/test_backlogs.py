"""However much is due, what is urgent is done first, and nothing of one kind delays another.

In virtual time, with 5 ms a request. `python -m bench.backlog_sweep` has the same with the numbers of a large
deployment.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.call import AwsUnavailable
from coatcheck.core.aws.s3_keys import result_key
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.shards import ShardKind, due_shard
from coatcheck_worker.sweep import ShardAssignment, ShardAssignmentMessage, shards_of, sweep
from coatcheck_worker.sweep.dispatch import DispatchBatch
from tests.simulation import backlogs
from tests.simulation.actors import QUEUE
from tests.simulation.backlogs import START, TimedSweeper
from tests.simulation.model import Model
from tests.simulation.nondeterminism import Nondeterminism

MANY = 2000
A_SWEEP = 50 * SECOND


@pytest.fixture
def model() -> Model:
    return Model()


def swept(model: Model, *, began: int = START, lasting: int = A_SWEEP) -> TimedSweeper:
    """A sweeper that has swept once."""
    sweeper = TimedSweeper(model, began=began)
    sweep(sweeper.dependencies, until=began + lasting)
    return sweeper


@pytest.mark.parametrize("messages", [True, False], ids=["messages wait", "messages are lost"])
def test_a_dead_worker_is_noticed_before_a_backlog_is_woken(model: Model, *, messages: bool) -> None:
    waiting = backlogs.waiting(MANY)
    backlogs.put(model, [*waiting, lost := backlogs.left_by_dead_worker()])
    if messages:
        backlogs.with_messages(model, waiting)
    sweeper = swept(model)
    assert sweeper.noticed(lost) < 1
    # a row is read with a hundred others, written once, and its message goes with ten others
    assert len(sweeper.requests) < 1.2 * MANY


def test_messages_that_wait_are_not_sent_again(model: Model) -> None:
    waiting = backlogs.waiting(MANY)
    backlogs.put(model, waiting)
    backlogs.with_messages(model, waiting[: MANY - 500])
    swept(model)
    assert backlogs.sent(model) == MANY
    # the same rows are looked at later, and ever less often
    assert all(int(backlogs.row(model, job)["due_at"]["N"]) > START + MINUTE for job in waiting)


def test_who_has_waited_longest_is_sent_another_first(model: Model) -> None:
    """The message of one is lost, and behind it so many others wait that none seems to be."""
    waiting = backlogs.waiting(MANY)
    backlogs.with_messages(model, waiting)
    old = replace(waiting[0], id="job_old", updated_at=START - 20 * MINUTE, due_at=START - SECOND)
    backlogs.put(model, [*waiting, old])
    swept(model)
    messages = model.queues.of({"QueueUrl": QUEUE}).messages.values()
    assert any("job_old" in message.body for message in messages)


def test_jobs_that_start_in_one_minute_are_handed_over_in_time_to_start_then(model: Model) -> None:
    start_at = START + 14 * MINUTE
    backlogs.put(model, [*backlogs.waiting(MANY), *backlogs.scheduled(MANY, start_at)])
    sweeper = TimedSweeper(model)
    sweep(sweeper.dependencies, until=START + A_SWEEP)
    queue = model.queues.of({"QueueUrl": QUEUE})
    starts = [message.visible_at for message in queue.messages.values() if message.visible_at > START + A_SWEEP]
    assert len(starts) == MANY
    assert all(start_at <= at < start_at + 2 * SECOND for at in starts)


def test_removals_delay_nobody_and_are_not_delayed(model: Model) -> None:
    expired = backlogs.expired(model, MANY // 4)
    backlogs.put(model, [*expired, *backlogs.waiting(MANY), lost := backlogs.left_by_dead_worker()])
    sweeper = swept(model)
    assert sweeper.noticed(lost) < 1
    assert not model.bucket.objects
    # a second sweep finds nothing: not one entry of the index is left
    assert "DeleteObjects" not in swept(model, began=START + MINUTE).requests


def test_no_kind_of_backlog_takes_all_the_time_of_a_sweep(model: Model) -> None:
    backlogs.put(model, backlogs.waiting(MANY))
    backlogs.put(model, backlogs.expired(model, 20))
    sweeper = TimedSweeper(model, threads=1)
    done = sweep(sweeper.dependencies, until=START + 2 * SECOND)
    assert done["left"] > 0
    assert done["removed"] > 0
    assert sweeper.clock() < START + 2.2 * SECOND


def test_rows_of_a_newer_version_hold_up_nobody(model: Model) -> None:
    newer = [job for job in backlogs.waiting(MANY * 3) if job.due_shard == "due-0"]
    backlogs.of_newer_version(model, newer)
    lost = [backlogs.left_by_dead_worker(n, due_shard=ShardKind.DUE.shard(n)) for n in range(8)]
    before = [backlogs.row(model, job) for job in newer]
    backlogs.put(model, lost)
    sweeper = swept(model)
    assert max(map(sweeper.noticed, lost)) < 1
    assert [backlogs.row(model, job) for job in newer] == before


def test_an_object_that_cannot_be_deleted_puts_its_own_job_off(model: Model) -> None:
    expired = backlogs.expired(model, 20)
    backlogs.put(model, expired)
    stays = result_key(expired[7])
    model.bucket.stubborn.add(stays)
    assert sweep(TimedSweeper(model).dependencies, until=START + A_SWEEP)["not removed"] == 1
    assert set(model.bucket.objects) == {stays}
    assert swept(model, began=START + 2 * MINUTE).requests.count("DeleteObjects") == 0
    model.bucket.stubborn.clear()
    swept(model, began=START + 62 * MINUTE)
    assert not model.bucket.objects


def test_what_aws_leaves_out_of_a_batch_is_asked_for_again_and_is_not_taken_to_be_done() -> None:
    model = Model(nondeterminism=Nondeterminism(leaves_out=itertools.cycle([True, False]).__next__))
    waiting = backlogs.waiting(MANY)
    backlogs.put(model, waiting)
    swept(model)
    woken = {JobMessage.parse(message.body).job for message in model.queues.of({"QueueUrl": QUEUE}).messages.values()}
    put_off = {job.id for job in waiting} - {job.id for job in untouched(model, waiting)}
    # a page is read in three rounds at most, each of half of what is left
    assert len(woken) > 0.35 * MANY
    assert put_off == woken


def test_what_is_too_much_for_one_is_handed_to_others(model: Model) -> None:
    backlogs.put(model, [*(jobs := backlogs.waiting(3 * MANY)), lost := backlogs.left_by_dead_worker()])
    delegated: list[ShardAssignmentMessage] = []
    sweeper = TimedSweeper(model)
    sweep(
        sweeper.dependencies,
        until=START + A_SWEEP,
        delegate=lambda kind, starts: delegated.append(
            ShardAssignmentMessage.model_validate({"shards": {kind: starts}})
        ),
    )
    # what is urgent is not left to others, who may come late or never
    assert f"{lost.id} {Status.QUEUED}" in sweeper.seen
    left = untouched(model, jobs)
    assert 0 < len(left) < len(jobs) - 5000 + 1000
    for message in delegated:
        assignment = ShardAssignmentMessage.model_validate_json(message.model_dump_json()).assignment(8)
        sweep(TimedSweeper(model).dependencies, until=START + A_SWEEP, assignment=assignment)
    assert untouched(model, jobs) == []
    # where the one stopped, the others go on: nobody is woken twice
    assert backlogs.sent(model) <= len(jobs) + 1


def untouched(model: Model, jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if int(backlogs.row(model, job)["due_at"]["N"]) <= START]


def test_a_share_that_nobody_takes_stays_with_who_has_it(model: Model) -> None:
    backlogs.put(model, jobs := backlogs.waiting(3 * MANY))
    sweeper = TimedSweeper(model)

    def refuse(*_: object) -> None:
        raise AwsUnavailable(backlogs.invocation(), "TooManyRequestsException")

    sweep(sweeper.dependencies, until=START + 2 * A_SWEEP, delegate=refuse)
    assert untouched(model, jobs) == []


def test_in_sweep_after_sweep_others_are_sent_another(model: Model) -> None:
    """All messages of the waiting jobs are lost, and as many of others wait that none seems to be."""
    waiting = backlogs.waiting(500)
    backlogs.put(model, waiting)
    backlogs.with_messages(model, backlogs.waiting(MANY, "job_other"))
    for minute in range(0, 60, 5):
        swept(model, began=START + minute * MINUTE)
    bodies = [message.body for message in model.queues.of({"QueueUrl": QUEUE}).messages.values()]
    assert all(any(f'"{job.id}"' in body for body in bodies) for job in waiting)


def test_jobs_that_wait_with_their_messages_cost_few_writes(model: Model) -> None:
    waiting = backlogs.waiting(500)
    backlogs.put(model, waiting)
    backlogs.with_messages(model, waiting)
    requests = [swept(model, began=START + minute * MINUTE).requests for minute in range(30)]
    assert sum(operations.count("UpdateItem") for operations in requests) < 6 * len(waiting)


def test_a_row_that_cannot_be_read_holds_up_no_other(model: Model) -> None:
    backlogs.put(model, [broken := backlogs.waiting(1, "job_broken")[0], *backlogs.waiting(50)])
    backlogs.row(model, broken)["history"] = {"L": [{"S": "no event"}]}
    assert sweep(TimedSweeper(model).dependencies, until=START + A_SWEEP) == {"woken": 50, "left": 1}


def test_jobs_are_woken_though_reading_takes_all_the_time_there_is(model: Model) -> None:
    backlogs.put(model, backlogs.waiting(MANY))
    sweeper = TimedSweeper(model, slow={"Query": 2 * SECOND})
    done = sweep(sweeper.dependencies, until=START + A_SWEEP)
    assert done["woken"] > 0
    assert done["left"] > 0


def test_no_job_waits_for_a_bucket_that_does_not_answer(model: Model) -> None:
    lost = [backlogs.left_by_dead_worker(n) for n in range(100)]
    backlogs.put(model, [*lost, *backlogs.waiting(200)])
    sweeper = TimedSweeper(model, slow={"ListObjectsV2": 15 * SECOND, "ListMultipartUploads": 15 * SECOND})
    done = sweep(sweeper.dependencies, until=START + A_SWEEP)
    assert done["requeued"] == 100
    assert done["woken"] >= 100
    assert max(map(sweeper.noticed, lost)) < 1
    assert sweeper.clock() < START + A_SWEEP + 30 * SECOND


def test_no_more_are_asked_to_help_than_may_run_beside_each_other(model: Model) -> None:
    backlogs.put(model, [*backlogs.waiting(3 * MANY), *backlogs.expired(model, 3 * MANY)])
    asked: list[ShardKind] = []
    dependencies = TimedSweeper(model).dependencies
    sweep(
        dependencies,
        until=START + A_SWEEP,
        assignment=ShardAssignment.whole(256),
        delegate=lambda kind, _: asked.append(kind),
    )
    assert asked == [ShardKind.DUE] * 7


def test_nobody_is_asked_to_help_with_what_is_empty(model: Model) -> None:
    asked: list[ShardKind] = []
    dependencies = TimedSweeper(model).dependencies
    done = sweep(
        dependencies,
        until=START + A_SWEEP,
        assignment=ShardAssignment.whole(256),
        delegate=lambda kind, _: asked.append(kind),
    )
    assert (done, asked) == ({}, [])


def test_what_is_left_undone_is_what_the_metric_counts(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    backlogs.put(model, backlogs.waiting(5, lane="gone"))
    with caplog.at_level("INFO", logger="coatcheck_worker.sweep.passes"):
        swept(model)
    (line,) = [record for record in caplog.records if record.message.startswith("swept")]
    assert (vars(line)["left"], vars(line)["swept"]) == (5, 0)


def test_a_lane_without_a_queue_holds_up_no_other(model: Model) -> None:
    backlogs.put(model, [*backlogs.waiting(5), *backlogs.waiting(5, "job_lane", lane="gone")])
    done = sweep(TimedSweeper(model).dependencies, until=START + A_SWEEP)
    assert (done["woken"], done["failed"]) == (5, 5)


def test_what_a_pass_fails_on_keeps_none_of_the_others_from_it(model: Model) -> None:
    backlogs.put(model, [*backlogs.waiting(5), *backlogs.expired(model, 5)])
    sweeper = TimedSweeper(model)

    def breaks(function: Any, values: Sequence[Any]) -> Any:
        if any(isinstance(value, DispatchBatch) for value in values):
            raise MemoryError
        return sweeper.parallel_map(function, values)

    with pytest.raises(MemoryError):
        sweep(replace(sweeper.dependencies, parallel_map=breaks), until=START + A_SWEEP)
    assert not model.bucket.objects


@pytest.mark.parametrize("parts", [1, 3, 8, 11])
def test_the_shares_of_several_sweepers_are_the_whole(parts: int) -> None:
    shares = [ShardAssignment.part(index, parts, 8) for index in range(parts)]
    assert sorted(number for assignment in shares for number in assignment.of_kind(ShardKind.DUE)) == list(range(8))
    assert [assignment.first for assignment in shares].count(True) == 1


@pytest.mark.parametrize(
    ("written_with", "shards"), [(1, 8), (8, 32), (32, 8)], ids=["raised", "raised again", "lowered"]
)
def test_rows_are_found_when_the_number_of_shards_has_changed(model: Model, written_with: int, shards: int) -> None:
    waiting = backlogs.waiting(200)
    backlogs.put(model, [replace(job, due_shard=due_shard(ShardKind.DUE, job.id, written_with)) for job in waiting])
    sweeper = TimedSweeper(model)
    settings = sweeper.dependencies.settings.model_copy(update={"due_shards": shards})
    looked = shards_of(settings, 10 * MINUTE)
    assert looked >= written_with
    assert shards_of(settings, 9 * MINUTE) == shards
    assert sweep(sweeper.dependencies, until=START + A_SWEEP, assignment=ShardAssignment.whole(looked))["woken"] == len(
        waiting
    )


def test_a_job_that_ended_is_removed_from_where_older_versions_kept_it(model: Model) -> None:
    (job,) = backlogs.expired(model, 1)
    backlogs.put(model, [replace(job, due_shard="due-3")])
    swept(model)
    assert not model.bucket.objects
    assert Status(backlogs.row(model, job)["status"]["S"]) is Status.SUCCEEDED
