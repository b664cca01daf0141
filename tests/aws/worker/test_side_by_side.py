"""A poller with several runners: what it receives at once, and that it deletes all that is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from coatcheck.authoring.context import Context
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.sqs import ReceivedMessage, send_job
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck_worker.supervisor.poller import Poller
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.waiting import eventually

T = TypeVar("T")

pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)


@dataclass
class Recording:
    """Notes what is received, and what is deleted."""

    transport: Transport
    received: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    receives: int = 0

    def send(self, call: Call[T]) -> T:
        if call.operation == "ReceiveMessage":
            self.receives += 1
        answer = self.transport.send(call)
        if isinstance(answer, list):
            self.received += [one.receipt_handle for one in answer if isinstance(one, ReceivedMessage)]
        if call.operation == "DeleteMessageBatch":
            self.deleted += [entry["ReceiptHandle"] for entry in call.params["Entries"]]
        return answer


class Gate:
    """Handlers that wait in it until it is opened."""

    def __init__(self) -> None:
        self.running: list[int] = []
        self.opened = threading.Event()

    def wait(self, given: Number, _: Context) -> Number:
        self.running.append(given.n)
        assert self.opened.wait(60)
        return given


def submit(harness: WorkerHarness, count: int) -> list[Job]:
    jobs = [harness.submit({"n": number}) for number in range(count)]
    for job in jobs:
        message = JobMessage(tenant=job.tenant, job=job.id)
        harness.transport.send(send_job(harness.settings.queues["default"], message))
    return jobs


@contextmanager
def polling(poller: Poller) -> Iterator[None]:
    thread = threading.Thread(target=poller.work)
    thread.start()
    try:
        yield
    finally:
        # the process's own thread would be interrupted in its receive by the signal
        poller._draining.set()
        thread.join()


def test_as_many_jobs_run_as_there_are_runners_and_no_more_are_received(harness: WorkerHarness) -> None:
    gate, transport = Gate(), Recording(harness.transport)
    jobs = submit(harness, 5)
    poller = Poller(harness.dependencies(gate.wait, transport), harness.settings.queues["default"], grace=60, runners=2)
    with polling(poller):
        try:
            eventually(lambda: len(gate.running) == 2)
            assert len(transport.received) == 2
        finally:
            gate.opened.set()
        eventually(lambda: all(harness.row(job).status is Status.SUCCEEDED for job in jobs))
    assert sorted(gate.running) == [0, 1, 2, 3, 4]


def test_every_message_that_is_done_is_deleted(harness: WorkerHarness) -> None:
    gate, transport = Gate(), Recording(harness.transport)
    gate.opened.set()
    jobs = submit(harness, 12)
    poller = Poller(harness.dependencies(gate.wait, transport), harness.settings.queues["default"], grace=60, runners=4)
    with polling(poller):
        eventually(lambda: all(harness.row(job).status is Status.SUCCEEDED for job in jobs))
    assert len(transport.received) == 12
    assert sorted(transport.deleted) == sorted(transport.received)
    assert transport.receives < 12
