"""What becomes of a message, and of a job through it."""

from __future__ import annotations

from coatcheck.clock import SECOND
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from tests.aws.worker.world import Number, World, double
from worker.tools import Again, Done


class TestMessages:
    def test_a_second_message_changes_nothing(self, world: World) -> None:
        ran = []

        def count(_: Number, __: Context) -> Number:
            ran.append(1)
            assert world.run(tools, job) == Done()
            return Number()

        job = world.submit()
        tools = world.tools(count)
        world.run(tools, job)
        before = world.row(job)
        assert world.run(tools, job) == Done()
        assert world.row(job) == before
        assert len(ran) == 1

    def test_a_scheduled_job_starts_at_its_time_and_not_before(self, world: World) -> None:
        start = world.clock() + 30 * SECOND
        job = world.submit(status=Status.SCHEDULED, start_at=start, run_at=start)
        tools = world.tools(double)
        assert isinstance(world.run(tools, job), Again)
        assert world.row(job).status is Status.SCHEDULED
        world.clock.ahead = 31 * SECOND
        assert world.run(tools, job) == Done()
        events = [event.type for event in world.row(job).history]
        assert events[1:] == ["job.queued", "job.started", "job.succeeded"]

    def test_a_job_is_not_started_past_its_queue_ttl(self, world: World) -> None:
        job = world.submit(queue_deadline=world.clock() + SECOND)
        world.clock.ahead = 2 * SECOND
        assert world.run(world.tools(double), job) == Done()
        assert world.row(job).status is Status.EXPIRED
