"""Messages that no job comes of, and rows that are none of this worker's business."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from coatcheck.calls import AwsUnavailable, Call
from coatcheck.clock import MINUTE, SECOND
from coatcheck.context import Context
from coatcheck.lifecycle import Status
from coatcheck.log import JsonFormatter
from coatcheck.messages import JobMessage
from coatcheck.queues import Received, put_aside, receive, send_job
from coatcheck.record import Job
from coatcheck.table import notes
from coatcheck.table.expressions import Expression
from coatcheck.table.keys import JobKey
from coatcheck.table.unknown import NewerRow
from tests.aws.worker.doors import Counting, Refusing
from tests.aws.worker.world import Number, World, double
from worker.aws import Aws
from worker.inbox import MOST_FAILURES, UNREACHED_AGAIN, WORN_OUT, handle
from worker.poller import Poller
from worker.tools import Tools

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _empty(world: World) -> None:
    for url in (queue(world), dead_letters(world)):
        while found := world.door.send(receive(url, wait=0, limit=10)):
            assert found


def queue(world: World) -> str:
    return world.deployment.queues["default"]


def dead_letters(world: World) -> str:
    return world.deployment.dead_letters["default"]


def put(world: World, body: str) -> None:
    """Any text as a message of the queue of jobs."""
    world.door.send(put_aside(queue(world), body, "test"))


def put_job(world: World, job: Job) -> None:
    world.door.send(send_job(queue(world), JobMessage(tenant=job.tenant, job=job.id)))


def work_off(world: World, tools: Tools) -> Sequence[str]:
    """Take what is in the queue as a poller does, until there is no more; answers the calls made."""
    door = Counting(tools.aws)
    poller = Poller(replace(tools, aws=Brief(door)), queue(world), grace=1)
    while "ReceiveMessage" not in door.operations[-1:]:
        poller.step()
    return door.operations


class Brief:
    """Does not wait for messages."""

    def __init__(self, door: Aws) -> None:
        self._door = door

    def send(self, call: Call[T]) -> T:
        if call.operation == "ReceiveMessage":
            return self._door.send(replace(call, params={**call.params, "WaitTimeSeconds": 0}))
        return self._door.send(call)


def aside(world: World) -> dict[str, str | None]:
    """The dead letters, with their reasons."""
    found: dict[str, str | None] = {}
    while batch := world.door.send(receive(dead_letters(world), wait=0, limit=10, hold=60)):
        found |= {received.body: received.reason for received in batch}
    return found


@pytest.mark.parametrize("body", ["{", "\u00e4", "[" * 3000, '{"v":1,"tenant":"a#b","job":"job_1"}', '{"v":0}', "null"])
def test_a_message_that_cannot_be_read_is_put_aside_and_holds_up_no_other(world: World, body: str) -> None:
    before, behind = world.submit(), world.submit()
    put_job(world, before)
    put(world, body)
    put_job(world, behind)
    work_off(world, world.tools(double))
    assert [world.row(job).status for job in (before, behind)] == [Status.SUCCEEDED] * 2
    told = aside(world)
    assert list(told) == [body]
    assert str(told[body]).startswith("cannot be read: ")


def test_a_message_that_names_no_job_is_put_aside(world: World) -> None:
    body = JobMessage(tenant=world.tenant, job="job_never").model_dump_json()
    put(world, body)
    work_off(world, world.tools(double))
    assert aside(world) == {body: "names job_never, which is not there"}


def test_a_message_of_a_newer_version_is_left_for_newer_workers(world: World) -> None:
    put(world, '{"v":2,"jobs":["job_1","job_2"]}')
    assert work_off(world, world.tools(double)) == ["ReceiveMessage", "ChangeMessageVisibility", "ReceiveMessage"]
    assert aside(world) == {}


NEWER: dict[str, dict[str, Any]] = {
    "schema": {"schema": {"N": "2"}},
    "status": {"status": {"S": "paused"}},
}


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_row_of_a_newer_version_is_left_for_newer_workers(world: World, change: dict[str, Any]) -> None:
    job = world.submit()
    key = JobKey(job.tenant, job.id)
    item = rewritten(world, key, change)
    put_job(world, job)
    tools = world.tools(double)
    assert work_off(world, tools)[-2:] == ["ChangeMessageVisibility", "ReceiveMessage"]
    world.clock.ahead = 10 * MINUTE
    assert world.sweep(tools) == {"newer": 1}
    with pytest.raises(NewerRow):
        world.door.send(notes.forget_job(world.deployment.table, job, now=world.clock()))
    assert aside(world) == {}
    assert read(world, key) == item
    rewritten(world, key, {"schema": None, "status": {"S": "queued"}})


def rewritten(world: World, key: JobKey, change: dict[str, Any]) -> dict[str, Any]:
    """The row as another version wrote it."""
    e = Expression()
    for attribute, value in change.items():
        e.assign(attribute, value)
    for attribute in {"status", "schema"} - change.keys():
        e.add(f"{e.name('other')} = {e.text(attribute)}")
    params = {"TableName": world.deployment.table, "Key": key.item(), **e.update(), "ReturnValues": "ALL_NEW"}
    return world.door.send(Call("dynamodb", "UpdateItem", params, read=lambda answer: dict(answer["Attributes"])))


def read(world: World, key: JobKey) -> dict[str, Any]:
    params = {"TableName": world.deployment.table, "Key": key.item(), "ConsistentRead": True}
    return world.door.send(Call("dynamodb", "GetItem", params, read=lambda answer: dict(answer["Item"])))


class Mistaken:
    """A worker with a bug: what claims raises what nobody expects."""

    def __init__(self, door: Aws) -> None:
        self._door = door

    def send(self, call: Call[T]) -> T:
        if call.operation == "UpdateItem":
            raise KeyError("a bug")
        return self._door.send(call)


@pytest.mark.parametrize(("receives", "done"), [(1, False), (MOST_FAILURES - 1, False), (MOST_FAILURES, True)])
def test_a_message_the_worker_fails_on_is_put_aside_in_the_end(world: World, receives: int, done: bool) -> None:  # noqa: FBT001
    job = world.submit()
    put_job(world, job)
    (received,) = world.door.send(receive(queue(world), wait=0))
    tools = world.tools(double, Mistaken(world.door))
    assert handle(tools, replace(received, receives=receives)) is done
    assert list(aside(world)) == ([received.body] if done else [])


@pytest.mark.parametrize(("receives", "done"), [(WORN_OUT - 1, False), (WORN_OUT, True)])
def test_a_message_does_not_wear_out_by_retries(world: World, receives: int, done: bool) -> None:  # noqa: FBT001
    """A long job's message would end in the dead letters; it is deleted before, and the sweeper sends another."""

    def fail(_: Number, __: object) -> Number:
        raise ValueError

    job = world.submit()
    put_job(world, job)
    (received,) = world.door.send(receive(queue(world), wait=0))
    assert handle(world.tools(fail), replace(received, receives=receives)) is done
    assert world.row(job).status is Status.QUEUED
    world.clock.ahead = 3 * MINUTE
    assert world.sweep(world.tools(double)) == {"woken": 1}


def test_a_waiting_job_is_told_once_that_its_message_was_put_aside(world: World) -> None:
    job = world.submit(start_at=world.clock() + 10 * MINUTE)
    world.door.send(put_aside(dead_letters(world), body_of(job), "the worker failed on it"))
    tools = world.tools(double)
    assert world.sweep(tools) == {"told of its dead letter": 1}
    world.door.send(receive(dead_letters(world), wait=6))
    row = world.row(job)
    assert [(event.type, event.error and event.error.detail) for event in row.history[1:]] == [
        ("job.dead_lettered", "the worker failed on it")
    ]
    assert (row.status, row.version) == (Status.QUEUED, job.version + 1)


def test_the_dead_letter_of_a_finished_job_is_removed(world: World) -> None:
    job = world.submit()
    world.run(world.tools(double), job)
    world.door.send(put_aside(dead_letters(world), body_of(job), "late"))
    assert world.sweep(world.tools(double)) == {"removed from the dead letters": 1}
    assert aside(world) == {}


def test_a_running_job_has_no_need_of_its_dead_letter(world: World) -> None:
    swept: list[dict[str, int]] = []

    def handler(_: Number, __: object) -> Number:
        swept.append(world.sweep(world.tools(double)))
        return Number()

    job = world.submit()
    world.door.send(put_aside(dead_letters(world), body_of(job), "late"))
    world.run(world.tools(handler), job)
    assert swept == [{"left in the dead letters": 1}]
    assert "job.dead_lettered" not in {event.type for event in world.row(job).history}


def body_of(job: Job) -> str:
    return JobMessage(tenant=job.tenant, job=job.id).model_dump_json()


def test_what_a_message_says_of_itself_is_read(world: World) -> None:
    before = world.clock()
    put(world, "x" * 1000)
    (received,) = world.door.send(receive(queue(world), wait=0, hold=0))
    (again,) = world.door.send(receive(queue(world), wait=1))
    assert isinstance(received, Received)
    assert (received.receives, again.receives) == (1, 2)
    assert received.reason == "test"
    assert before - SECOND <= received.sent_at <= world.clock() + SECOND


def test_a_message_whose_job_could_not_be_claimed_comes_again_soon(world: World) -> None:
    put_job(world, world.submit())
    refusing = Refusing(world.door, lambda call: call.operation == "UpdateItem")
    door = Counting(refusing)
    poller = Poller(world.tools(double, Brief(door)), queue(world), grace=1)
    with pytest.raises(AwsUnavailable):
        poller.step()
    assert door.operations == ["ReceiveMessage", "UpdateItem", "ChangeMessageVisibility"]
    assert door.calls[-1].params["VisibilityTimeout"] == UNREACHED_AGAIN


@pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)
def test_the_lines_of_a_job_tell_its_id_and_lane_those_of_its_heartbeat_too(world: World) -> None:
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

    job = world.submit()
    put_job(world, job)
    try:
        work_off(world, world.tools(beaten, Refusing(world.door, lambda call: call.urgent)))
    finally:
        logging.getLogger().removeHandler(handler)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    told = {line["logger"]: (line.get("job"), line.get("tenant"), line.get("lane")) for line in lines}
    loggers = ("some.library", "worker.heart", "worker.attempt")
    assert {name: told[name] for name in loggers} == dict.fromkeys(loggers, (job.id, world.tenant, "default"))
