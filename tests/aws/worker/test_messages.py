"""What becomes of a message, and of a job through it."""

from __future__ import annotations

from coatcheck.authoring.context import Context
from coatcheck.core.clock import SECOND
from coatcheck.core.lifecycle import Status
from coatcheck_worker.dependencies import Ack, Redeliver
from tests.aws.worker.worker_harness import Number, WorkerHarness, double


class TestMessages:
    def test_a_second_message_changes_nothing(self, harness: WorkerHarness) -> None:
        ran = []

        def count(_: Number, __: Context) -> Number:
            ran.append(1)
            assert harness.run(dependencies, job) == Ack()
            return Number()

        job = harness.submit()
        dependencies = harness.dependencies(count)
        harness.run(dependencies, job)
        before = harness.row(job)
        assert harness.run(dependencies, job) == Ack()
        assert harness.row(job) == before
        assert len(ran) == 1

    def test_a_scheduled_job_starts_at_its_time_and_not_before(self, harness: WorkerHarness) -> None:
        start = harness.clock() + 30 * SECOND
        job = harness.submit(status=Status.SCHEDULED, start_at=start, run_at=start)
        dependencies = harness.dependencies(double)
        assert isinstance(harness.run(dependencies, job), Redeliver)
        assert harness.row(job).status is Status.SCHEDULED
        harness.clock.ahead = 31 * SECOND
        assert harness.run(dependencies, job) == Ack()
        events = [event.type for event in harness.row(job).history]
        assert events[1:] == ["job.queued", "job.started", "job.succeeded"]

    def test_a_job_is_not_started_past_its_queue_ttl(self, harness: WorkerHarness) -> None:
        job = harness.submit(queue_deadline=harness.clock() + SECOND)
        harness.clock.ahead = 2 * SECOND
        assert harness.run(harness.dependencies(double), job) == Ack()
        assert harness.row(job).status is Status.EXPIRED
