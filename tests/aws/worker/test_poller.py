"""A polling process that is told to end, whatever it is about."""

from __future__ import annotations

import threading
from typing import TypeVar

import pytest

from coatcheck.calls import Call
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.queues import send_job
from tests.aws.worker.world import Number, World
from worker.poller import Poller

T = TypeVar("T")


class SlowClaim:
    """The process is told to end while its claim is on its way, and the claim takes longer than it has grace."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.poller: Poller | None = None

    def send(self, call: Call[T]) -> T:
        assert self.poller is not None
        if "#owner = " in call.params.get("UpdateExpression", ""):
            self.poller.drain()
            for thread in threading.enumerate():
                if isinstance(thread, threading.Timer):
                    thread.join()
        return self._world.door.send(call)


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_a_job_whose_claim_is_answered_when_the_grace_is_over_is_handed_back(world: World) -> None:
    ran = []

    def never(_: Number, __: Context) -> Number:
        ran.append(1)
        return Number()

    queue_url = world.deployment.queues["default"]
    job = world.submit(max_attempts=1)
    world.door.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id)))
    door = SlowClaim(world)
    door.poller = Poller(world.tools(never, door), queue_url, grace=0)
    door.poller.work()
    row = world.row(job)
    assert (row.status, row.attempt, row.max_attempts) == (Status.QUEUED, 1, 2)
    assert ran == []
    retrying = row.history[-1].error
    assert retrying is not None
    assert retrying.code == "handed-back"
