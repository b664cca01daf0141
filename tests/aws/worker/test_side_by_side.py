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
from coatcheck.core.aws.sqs import ReceivedMessage, receive, send_job
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck_worker.supervisor.poller import Poller
from coatcheck_worker.supervisor.prefetch import SAMPLE
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


def test_another_worker_gets_the_messages_of_one_whose_jobs_are_no_longer_quick(harness: WorkerHarness) -> None:
    gate, recording = Gate(), Recording(harness.transport)
    dependencies = harness.dependencies(
        lambda given, ctx: gate.wait(given, ctx) if given.n >= SAMPLE else given, recording
    )
    poller = Poller(dependencies, harness.settings.queues["default"], grace=60)
    quick = submit(harness, SAMPLE)
    with polling(poller):
        eventually(lambda: all(harness.row(job).status is Status.SUCCEEDED for job in quick))
        slow = submit(harness, SAMPLE + 3)[SAMPLE:]
        eventually(lambda: len(gate.running) == 1)
        # those that were received beside it are there for another worker
        other = Poller(harness.dependencies(lambda given, _: given, harness.transport), poller._queue_url, grace=60)
        with polling(other):
            eventually(lambda: sum(harness.row(job).status is Status.SUCCEEDED for job in slow) == 2)
            assert len(gate.running) == 1
        gate.opened.set()
    assert all(harness.row(job).status is Status.SUCCEEDED for job in slow)


def test_what_was_received_ahead_is_handed_back_at_once_when_the_process_is_to_end(harness: WorkerHarness) -> None:
    gate = Gate()
    poller = Poller(harness.dependencies(gate.wait, harness.transport), harness.settings.queues["default"], grace=60)
    queue_url = harness.settings.queues["default"]
    with polling(poller):
        submit(harness, 1)
        eventually(lambda: gate.running == [0])
        submit(harness, 2)
        poller._buffer.put(harness.transport.send(receive(queue_url, wait=5, limit=2)))
        poller._draining.set()
        received = harness.transport.send(receive(queue_url, wait=10, limit=2))
        gate.opened.set()
    assert [one.receive_count for one in received] == [2] * len(received)
    assert received
