"""The sweeper on real stores."""

from __future__ import annotations

import pytest

from coatcheck.core.aws.call import AwsUnavailable
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.lifecycle import Status
from coatcheck.core.shards import ShardKind
from tests.aws.worker.worker_harness import WorkerHarness, double
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, on, send_after, throttle


class TestSweeper:
    def test_a_job_whose_message_was_never_sent_is_woken_ever_less_often(self, harness: WorkerHarness) -> None:
        job = harness.submit()
        dependencies = harness.dependencies(double)
        assert harness.sweep(dependencies) == {}
        woken = []
        for minutes in range(1, 60):
            harness.clock.ahead = minutes * MINUTE
            if harness.sweep(dependencies) == {"woken": 1}:
                woken.append(minutes)
        assert woken[0] <= 1
        assert 4 <= len(woken) <= 6
        harness.run(dependencies, job)
        assert harness.sweep(dependencies) == {}

    def test_a_lost_worker_is_noticed_a_lease_and_a_sweep_later(self, harness: WorkerHarness) -> None:
        job = harness.submit()
        with pytest.raises(ProcessDied):
            harness.run(harness.dependencies(double, crash_at(harness.transport, 0, after=True)), job)
        dependencies = harness.dependencies(double)
        harness.clock.ahead = 59 * SECOND
        assert harness.sweep(dependencies).get("requeued") is None
        harness.clock.ahead = 61 * SECOND
        assert harness.sweep(dependencies) == {"requeued": 1}

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
        self, harness: WorkerHarness, last_beat: int, timeout: int, status: Status
    ) -> None:
        """A worker that was still heard of when the time was nearly up may have hung past it; else it has died."""
        job = harness.submit(max_attempts=1, timeout=timeout)
        with pytest.raises(ProcessDied):
            harness.run(harness.dependencies(double, crash_at(harness.transport, 0, after=True)), job)
        if last_beat:
            row, table = harness.row(job), harness.settings.table
            assert row.claimed_at is not None
            at = row.claimed_at + last_beat
            harness.transport.send(
                transitions.renew_lease(table, row, now=at, lease=harness.settings.lease_ms, progress=None)
            )
        harness.clock.ahead = 3 * MINUTE
        assert harness.sweep(harness.dependencies(double)) == {"given up": 1}
        row = harness.row(job)
        assert row.error is not None
        assert (row.status, row.error.code) == (status, {"failed": "worker-lost", "timed_out": "timed-out"}[status])

    def test_a_cancel_whose_worker_died_is_finished(self, harness: WorkerHarness) -> None:
        job = harness.submit()
        with pytest.raises(ProcessDied):
            harness.run(harness.dependencies(double, crash_at(harness.transport, 0, after=True)), job)
        harness.transport.send(
            transitions.request_cancel(harness.settings.table, harness.row(job), now=harness.clock())
        )
        harness.clock.ahead = 2 * MINUTE
        assert harness.sweep(harness.dependencies(double)) == {"canceled": 1}
        assert harness.row(job).status is Status.CANCELED

    @pytest.mark.parametrize("max_attempts", [1, 2])
    def test_a_cancel_that_comes_while_its_worker_is_given_up_is_finished_by_the_same_sweep(
        self, harness: WorkerHarness, max_attempts: int
    ) -> None:
        job = harness.submit(max_attempts=max_attempts)
        with pytest.raises(ProcessDied):
            harness.run(harness.dependencies(double, crash_at(harness.transport, 0, after=True)), job)

        def cancel() -> None:
            row = harness.row(job)
            harness.transport.send(transitions.request_cancel(harness.settings.table, row, now=harness.clock()))

        harness.clock.ahead = 2 * MINUTE
        overtaken = FaultyTransport(harness.transport, Fault(send_after(cancel), on("UpdateItem"), times=1))
        assert harness.sweep(harness.dependencies(double, overtaken)) == {"canceled": 1}
        assert harness.row(job).status is Status.CANCELED

    def test_one_job_that_cannot_be_helped_keeps_none_from_it(self, harness: WorkerHarness) -> None:
        jobs = [harness.submit() for _ in range(3)]
        harness.clock.ahead = 2 * MINUTE
        sick = JobKey(harness.tenant, jobs[1].id).item()
        refusing = FaultyTransport(harness.transport, Fault(throttle, lambda call: call.params.get("Key") == sick))
        assert harness.sweep(harness.dependencies(double, refusing)) == {"woken": 2, "failed": 1}

    def test_a_part_that_cannot_be_looked_into_keeps_none_from_the_others(self, harness: WorkerHarness) -> None:
        job, other = (harness.submit(due_shard=ShardKind.DUE.shard(number)) for number in range(2))
        harness.clock.ahead = 2 * MINUTE
        first = {"S": ShardKind.DUE.shard(0)}
        of_first = Fault(throttle, lambda call: first in call.params.get("ExpressionAttributeValues", {}).values())
        refusing = FaultyTransport(harness.transport, of_first)
        with pytest.raises(AwsUnavailable):
            harness.sweep(harness.dependencies(double, refusing))
        assert [harness.row(one).dispatches for one in (job, other)] == [0, 1]
