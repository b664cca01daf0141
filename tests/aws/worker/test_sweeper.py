"""The sweeper on real stores."""

from __future__ import annotations

import pytest

from coatcheck.calls import AwsUnavailable
from coatcheck.clock import DAY, MINUTE, SECOND
from coatcheck.lifecycle import Status
from coatcheck.table import moves
from coatcheck.table.keys import JobKey, ShardKind
from tests.aws.worker.doors import Died, Mortal, Refusing
from tests.aws.worker.world import World, double


class TestSweeper:
    def test_a_job_whose_message_was_never_sent_is_woken_ever_less_often(self, world: World) -> None:
        job = world.submit()
        tools = world.tools(double)
        assert world.sweep(tools) == {}
        woken = []
        for minutes in range(1, 60):
            world.clock.ahead = minutes * MINUTE
            if world.sweep(tools) == {"woken": 1}:
                woken.append(minutes)
        assert woken[0] <= 1
        assert 4 <= len(woken) <= 6
        world.run(tools, job)
        assert world.sweep(tools) == {}

    def test_a_lost_worker_is_noticed_a_lease_and_a_sweep_later(self, world: World) -> None:
        job = world.submit()
        with pytest.raises(Died):
            world.run(world.tools(double, Mortal(world.door, 0, after=True)), job)
        tools = world.tools(double)
        world.clock.ahead = 59 * SECOND
        assert world.sweep(tools).get("requeued") is None
        world.clock.ahead = 61 * SECOND
        assert world.sweep(tools) == {"requeued": 1}

    @pytest.mark.parametrize(
        ("last_beat", "timeout", "status"),
        [
            (0, 5 * SECOND, Status.FAILED),
            (0, 30 * SECOND, Status.FAILED),
            (45 * SECOND, DAY, Status.FAILED),
            (45 * SECOND, 62 * SECOND, Status.FAILED),
            (45 * SECOND, 60 * SECOND, Status.TIMED_OUT),
            (45 * SECOND, 40 * SECOND, Status.TIMED_OUT),
        ],
    )
    def test_a_lost_last_attempt_ends_the_job_and_says_which_way(
        self, world: World, last_beat: int, timeout: int, status: Status
    ) -> None:
        """A worker that was still heard of when the time was nearly up may have hung past it; else it has died."""
        job = world.submit(max_attempts=1, timeout=timeout)
        with pytest.raises(Died):
            world.run(world.tools(double, Mortal(world.door, 0, after=True)), job)
        if last_beat:
            row, table = world.row(job), world.deployment.table
            assert row.claimed_at is not None
            at = row.claimed_at + last_beat
            world.door.send(moves.beat(table, row, now=at, lease=world.deployment.lease_ms, progress=None))
        world.clock.ahead = 3 * MINUTE
        assert world.sweep(world.tools(double)) == {"given up": 1}
        row = world.row(job)
        assert row.error is not None
        assert (row.status, row.error.code) == (status, {"failed": "worker-lost", "timed_out": "timed-out"}[status])

    def test_a_cancel_whose_worker_died_is_finished(self, world: World) -> None:
        job = world.submit()
        with pytest.raises(Died):
            world.run(world.tools(double, Mortal(world.door, 0, after=True)), job)
        world.door.send(moves.request_cancel(world.deployment.table, world.row(job), now=world.clock()))
        world.clock.ahead = 2 * MINUTE
        assert world.sweep(world.tools(double)) == {"canceled": 1}
        assert world.row(job).status is Status.CANCELED

    def test_one_job_that_cannot_be_helped_keeps_none_from_it(self, world: World) -> None:
        jobs = [world.submit() for _ in range(3)]
        world.clock.ahead = 2 * MINUTE
        sick = JobKey(world.tenant, jobs[1].id).item()
        refusing = Refusing(world.door, lambda call: call.params.get("Key") == sick)
        assert world.sweep(world.tools(double, refusing)) == {"woken": 2, "failed": 1}

    def test_a_part_that_cannot_be_looked_into_keeps_none_from_the_others(self, world: World) -> None:
        job, other = (world.submit(due_shard=ShardKind.DUE.shard(number)) for number in range(2))
        world.clock.ahead = 2 * MINUTE
        first = {"S": ShardKind.DUE.shard(0)}
        refusing = Refusing(world.door, lambda call: first in call.params.get("ExpressionAttributeValues", {}).values())
        with pytest.raises(AwsUnavailable):
            world.sweep(world.tools(double, refusing))
        assert [world.row(one).dispatches for one in (job, other)] == [0, 1]
