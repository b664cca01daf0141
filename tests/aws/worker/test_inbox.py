"""Messages that no job comes of, and rows that are none of this worker's business."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from coatcheck.authoring.context import Context
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.sqs import ReceivedMessage, receive, send_dead_letter, send_job
from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.log import JsonFormatter
from coatcheck.core.messages import JobMessage
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.message_consumer import MAX_FAILURES, MAX_RECEIVES, UNREACHABLE_DELAY
from coatcheck_worker.supervisor.job_messages import handle
from coatcheck_worker.supervisor.poller import Poller
from tests.aws.worker.worker_harness import Number, WorkerHarness, double
from tests.direct_runners import step
from tests.transports import Fault, FaultyTransport, change, on, throttle


@pytest.fixture(autouse=True)
def _empty(harness: WorkerHarness) -> None:
    for url in (queue(harness), dead_letters(harness)):
        while found := harness.transport.send(receive(url, wait=0, limit=10)):
            assert found


def queue(harness: WorkerHarness) -> str:
    return harness.settings.queues["default"]


def dead_letters(harness: WorkerHarness) -> str:
    return harness.settings.dead_letters["default"]


def put(harness: WorkerHarness, body: str) -> None:
    """Any text as a message of the queue of jobs."""
    harness.transport.send(send_dead_letter(queue(harness), body, "test"))


def put_job(harness: WorkerHarness, job: Job) -> None:
    harness.transport.send(send_job(queue(harness), JobMessage(tenant=job.tenant, job=job.id)))


def drain_queue(harness: WorkerHarness, dependencies: Dependencies) -> Sequence[str]:
    """Take what is in the queue as a poller does, until there is no more; answers the calls made."""
    transport = FaultyTransport(dependencies.transport, NO_WAIT)
    poller = Poller(replace(dependencies, transport=transport), queue(harness), grace=1)
    while "ReceiveMessage" not in transport.operations[-1:]:
        step(poller)
    return transport.operations


def shorten_wait(call: Call[Any]) -> Call[Any]:
    return replace(call, params={**call.params, "WaitTimeSeconds": 0})


NO_WAIT = Fault(change(shorten_wait), on("ReceiveMessage"))


def dead_letter_reasons(harness: WorkerHarness) -> dict[str, str | None]:
    """The dead letters, with their reasons."""
    found: dict[str, str | None] = {}
    while batch := harness.transport.send(receive(dead_letters(harness), wait=0, limit=10, visibility_timeout=60)):
        found |= {received.body: received.reason for received in batch}
    return found


@pytest.mark.parametrize("body", ["{", "\u00e4", "[" * 3000, '{"v":1,"tenant":"a#b","job":"job_1"}', '{"v":0}', "null"])
def test_a_message_that_cannot_be_read_is_put_aside_and_holds_up_no_other(harness: WorkerHarness, body: str) -> None:
    before, behind = harness.submit(), harness.submit()
    put_job(harness, before)
    put(harness, body)
    put_job(harness, behind)
    drain_queue(harness, harness.dependencies(double))
    assert [harness.row(job).status for job in (before, behind)] == [Status.SUCCEEDED] * 2
    logged = dead_letter_reasons(harness)
    assert list(logged) == [body]
    assert str(logged[body]).startswith("cannot be read: ")


def test_a_message_that_names_no_job_is_put_aside(harness: WorkerHarness) -> None:
    body = JobMessage(tenant=harness.tenant, job="job_never").model_dump_json()
    put(harness, body)
    drain_queue(harness, harness.dependencies(double))
    assert dead_letter_reasons(harness) == {body: "names job_never, which is not there"}


def test_a_message_of_a_newer_version_is_left_for_newer_workers(harness: WorkerHarness) -> None:
    put(harness, '{"v":2,"jobs":["job_1","job_2"]}')
    assert drain_queue(harness, harness.dependencies(double)) == [
        "ReceiveMessage",
        "ChangeMessageVisibility",
        "ReceiveMessage",
    ]
    assert dead_letter_reasons(harness) == {}


NEWER: dict[str, dict[str, Any]] = {
    "schema": {"schema": {"N": "2"}},
    "status": {"status": {"S": "paused"}},
}


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_row_of_a_newer_version_is_left_for_newer_workers(harness: WorkerHarness, change: dict[str, Any]) -> None:
    job = harness.submit()
    key = JobKey(job.tenant, job.id)
    item = rewritten(harness, key, change)
    put_job(harness, job)
    dependencies = harness.dependencies(double)
    assert drain_queue(harness, dependencies)[-2:] == ["ChangeMessageVisibility", "ReceiveMessage"]
    harness.clock.ahead = 10 * MINUTE
    assert harness.sweep(dependencies) == {"newer": 1}
    with pytest.raises(NewerRow):
        harness.transport.send(job_updates.purge_job(harness.settings.table, job, now=harness.clock()))
    assert dead_letter_reasons(harness) == {}
    assert read(harness, key) == item
    rewritten(harness, key, {"schema": None, "status": {"S": "queued"}})


def rewritten(harness: WorkerHarness, key: JobKey, change: dict[str, Any]) -> dict[str, Any]:
    """The row as another version wrote it."""
    e = Expression()
    for attribute, value in change.items():
        e.assign(attribute, value)
    for attribute in {"status", "schema"} - change.keys():
        e.add(f"{e.name('other')} = {e.text(attribute)}")
    params = {"TableName": harness.settings.table, "Key": key.item(), **e.update(), "ReturnValues": "ALL_NEW"}
    return harness.transport.send(
        Call("dynamodb", "UpdateItem", params, read=lambda answer: dict(answer["Attributes"]))
    )


def read(harness: WorkerHarness, key: JobKey) -> dict[str, Any]:
    params = {"TableName": harness.settings.table, "Key": key.item(), "ConsistentRead": True}
    return harness.transport.send(Call("dynamodb", "GetItem", params, read=lambda answer: dict(answer["Item"])))


def raise_bug(_: Call[Any]) -> NoReturn:
    """A worker with a bug: what claims raises what nobody expects."""
    raise KeyError("a bug")


@pytest.mark.parametrize(("receive_count", "done"), [(1, False), (MAX_FAILURES - 1, False), (MAX_FAILURES, True)])
def test_a_message_the_worker_fails_on_is_put_aside_in_the_end(
    harness: WorkerHarness,
    receive_count: int,
    done: bool,  # noqa: FBT001
) -> None:
    job = harness.submit()
    put_job(harness, job)
    (received,) = harness.transport.send(receive(queue(harness), wait=0))
    dependencies = harness.dependencies(double, FaultyTransport(harness.transport, Fault(raise_bug, on("UpdateItem"))))
    assert handle(dependencies, replace(received, receive_count=receive_count)) is done
    assert list(dead_letter_reasons(harness)) == ([received.body] if done else [])


@pytest.mark.parametrize(("receive_count", "done"), [(MAX_RECEIVES - 1, False), (MAX_RECEIVES, True)])
def test_a_message_does_not_wear_out_by_retries(harness: WorkerHarness, receive_count: int, done: bool) -> None:  # noqa: FBT001
    """A long job's message would end in the dead letters; it is deleted before, and the sweeper sends another."""

    def fail(_: Number, __: object) -> Number:
        raise ValueError

    job = harness.submit()
    put_job(harness, job)
    (received,) = harness.transport.send(receive(queue(harness), wait=0))
    assert handle(harness.dependencies(fail), replace(received, receive_count=receive_count)) is done
    assert harness.row(job).status is Status.QUEUED
    harness.clock.ahead = 3 * MINUTE
    assert harness.sweep(harness.dependencies(double)) == {"woken": 1}


def test_a_waiting_job_is_told_once_that_its_message_was_put_aside(harness: WorkerHarness) -> None:
    job = harness.submit(start_at=harness.clock() + 10 * MINUTE)
    harness.transport.send(send_dead_letter(dead_letters(harness), body_of(job), "the worker failed on it"))
    dependencies = harness.dependencies(double)
    assert harness.sweep(dependencies) == {"told of its dead letter": 1}
    harness.transport.send(receive(dead_letters(harness), wait=6))
    row = harness.row(job)
    assert [(event.type, event.error and event.error.detail) for event in row.history[1:]] == [
        ("job.dead_lettered", "the worker failed on it")
    ]
    assert (row.status, row.version) == (Status.QUEUED, job.version + 1)


def test_the_dead_letter_of_a_finished_job_is_removed(harness: WorkerHarness) -> None:
    job = harness.submit()
    harness.run(harness.dependencies(double), job)
    harness.transport.send(send_dead_letter(dead_letters(harness), body_of(job), "late"))
    assert harness.sweep(harness.dependencies(double)) == {"removed from the dead letters": 1}
    assert dead_letter_reasons(harness) == {}


def test_a_running_job_has_no_need_of_its_dead_letter(harness: WorkerHarness) -> None:
    swept: list[dict[str, int]] = []

    def handler(_: Number, __: object) -> Number:
        swept.append(harness.sweep(harness.dependencies(double)))
        return Number()

    job = harness.submit()
    harness.transport.send(send_dead_letter(dead_letters(harness), body_of(job), "late"))
    harness.run(harness.dependencies(handler), job)
    assert swept == [{"left in the dead letters": 1}]
    assert "job.dead_lettered" not in {event.type for event in harness.row(job).history}


def body_of(job: Job) -> str:
    return JobMessage(tenant=job.tenant, job=job.id).model_dump_json()


def test_what_a_message_says_of_itself_is_read(harness: WorkerHarness) -> None:
    before = harness.clock()
    put(harness, "x" * 1000)
    (received,) = harness.transport.send(receive(queue(harness), wait=0, visibility_timeout=0))
    (again,) = harness.transport.send(receive(queue(harness), wait=1))
    assert isinstance(received, ReceivedMessage)
    assert (received.receive_count, again.receive_count) == (1, 2)
    assert received.reason == "test"
    assert before - SECOND <= received.sent_at <= harness.clock() + SECOND


def test_a_message_whose_job_could_not_be_claimed_comes_again_soon(harness: WorkerHarness) -> None:
    put_job(harness, harness.submit())
    transport = FaultyTransport(harness.transport, NO_WAIT, Fault(throttle, on("UpdateItem")))
    poller = Poller(harness.dependencies(double, transport), queue(harness), grace=1)
    with pytest.raises(AwsUnavailable):
        step(poller)
    assert transport.operations == ["ReceiveMessage", "UpdateItem", "ChangeMessageVisibility"]
    assert transport.calls[-1].params["VisibilityTimeout"] == UNREACHABLE_DELAY


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_the_lines_of_a_job_tell_its_id_and_lane_those_of_its_heartbeat_too(harness: WorkerHarness) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)

    def beaten(_: Number, ctx: Context) -> Number:
        ctx.progress(0.5)
        logging.getLogger("some.library").warning("from the handler")
        until = time.monotonic() + 60
        while "beat of" not in written.getvalue():
            assert time.monotonic() < until
            time.sleep(0.02)
        raise ValueError

    job = harness.submit()
    put_job(harness, job)
    try:
        drain_queue(
            harness,
            harness.dependencies(beaten, FaultyTransport(harness.transport, Fault(throttle, lambda call: call.urgent))),
        )
    finally:
        logging.getLogger().removeHandler(handler)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    logged = {line["logger"]: (line.get("job"), line.get("tenant"), line.get("lane")) for line in lines}
    loggers = ("some.library", "coatcheck_worker.supervisor.heartbeat", "coatcheck_worker.supervisor.attempt")
    assert {name: logged[name] for name in loggers} == dict.fromkeys(loggers, (job.id, harness.tenant, "default"))
