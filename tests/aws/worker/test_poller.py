"""A polling process that is told to end, whatever it is about."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from coatcheck.authoring.context import Context
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck_worker.poller import Poller
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.transports import Fault, FaultyTransport, send_after


def is_claim(call: Call[Any]) -> bool:
    return "#owner = " in call.params.get("UpdateExpression", "")


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_a_job_whose_claim_is_answered_when_the_grace_is_over_is_handed_back(harness: WorkerHarness) -> None:
    ran = []

    def never(_: Number, __: Context) -> Number:
        ran.append(1)
        return Number()

    queue_url = harness.settings.queues["default"]
    job = harness.submit(max_attempts=1)
    harness.transport.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id)))

    def let_grace_pass() -> None:
        poller.drain()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()

    slow_claim = FaultyTransport(harness.transport, Fault(send_after(let_grace_pass), is_claim))
    poller = Poller(harness.dependencies(never, slow_claim), queue_url, grace=0)
    poller.work()
    row = harness.row(job)
    assert (row.status, row.attempt, row.max_attempts) == (Status.QUEUED, 1, 2)
    assert ran == []
    retrying = row.history[-1].error
    assert retrying is not None
    assert retrying.code == "handed-back"
