"""Versions side by side: what an earlier one wrote is carried on, what a newer one added is kept, or left to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.calls import Call
from coatcheck.clock import MINUTE
from coatcheck.invariants import broken_invariants
from coatcheck.lifecycle import CANCEL, FAIL, FINAL, SUCCEED, Status
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.pack import pack, to_json, unpack
from coatcheck.record import JSON, Blob, Job, JobError
from coatcheck.table import items, moves, notes, uploads
from coatcheck.table import webhooks as table
from coatcheck.table.history import earlier_events, put_history_page
from coatcheck.table.keys import Item, JobKey
from coatcheck.table.unknown import NewerRow
from coatcheck.webhooks import Attempt, Delivery, DeliveryStatus
from infra.embedded.stack import client
from tests import released
from tests.aws.worker.world import World, double
from tests.released import ADDED, VERSIONS
from worker.webhooks.inbox import parse

ERROR = JobError("worker-lost", "gone")
OUT = Blob.of(b'{"n":2}', JSON)

Write = Callable[[str, Job, int], Call[moves.Outcome]]

WRITES: Mapping[str, tuple[frozenset[Status], Write]] = {
    "release": (frozenset({Status.SCHEDULED}), lambda t, job, now: moves.release(t, _key(job), now=now)),
    "claim": (
        frozenset({Status.QUEUED}),
        lambda t, job, now: moves.claim(t, _key(job), now=now, lease=MINUTE, owner="me"),
    ),
    "beat": (
        frozenset({Status.RUNNING, Status.CANCELING}),
        lambda t, job, now: moves.beat(t, job, now=now, lease=MINUTE, progress=None),
    ),
    "retry": (frozenset({Status.RUNNING}), lambda t, job, now: moves.retry(t, job, now=now, start_at=now, error=ERROR)),
    "continue": (
        frozenset({Status.RUNNING}),
        lambda t, job, now: moves.continue_later(t, job, now=now, checkpoint=OUT),
    ),
    "succeed": (frozenset({Status.RUNNING}), lambda t, job, now: moves.settle(t, job, SUCCEED, now=now, result=OUT)),
    "fail": (frozenset({Status.RUNNING}), lambda t, job, now: moves.settle(t, job, FAIL, now=now, error=ERROR)),
    "request cancel": (frozenset({Status.RUNNING}), lambda t, job, now: moves.request_cancel(t, job, now=now)),
    "cancel": (
        frozenset({Status.CANCELING}),
        lambda t, job, now: moves.settle(t, job, CANCEL, now=now, error=ERROR, sweeper=True),
    ),
    "cancel waiting": (
        frozenset({Status.SCHEDULED, Status.QUEUED}),
        lambda t, job, now: moves.cancel_waiting(t, job, now=now, error=ERROR),
    ),
    "postpone": (
        frozenset(Status),
        lambda t, job, now: notes.postpone(t, job, due_at=now + MINUTE, dispatches=1),
    ),
    "announce": (FINAL, lambda t, job, _: notes.announce(t, job, left=())),
    "forget": (FINAL, lambda t, job, now: notes.forget_job(t, job, now=now)),
}
CASES = [(status, name) for status in Status for name, (of, _) in WRITES.items() if status in of]
NEWER: Mapping[str, Item] = {
    "schema": {"schema": {"N": "2"}},
    "status": {"status": {"S": "paused"}, "version": {"N": "9"}},
}


def _key(job: Job) -> JobKey:
    return JobKey(job.tenant, job.id)


class Shelf:
    """The raw items of a world's table."""

    def __init__(self, world: World, url: str) -> None:
        self.world, self.table = world, world.deployment.table
        self._dynamodb = client("dynamodb", url)

    def put(self, version: str, name: str, /, **more: Any) -> Item:
        """An item as `version` wrote it, with `more` attributes."""
        item = released.item(version, name, self.world.tenant) | more
        self._dynamodb.put_item(TableName=self.table, Item=item)
        return item

    def get(self, item: Item) -> Item:
        """What has become of it."""
        key = {name: item[name] for name in ("pk", "sk")}
        found: Item = self._dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]
        return found

    def send(self, call: Call[Any]) -> Any:
        """Carry out a call."""
        return self.world.door.send(call)


@pytest.fixture
def shelf(world: World, emulator_url: str) -> Iterator[Shelf]:
    """A table that other versions write to; what they leave due there is taken away."""
    made = Shelf(world, emulator_url)
    yield made
    for status in Status:
        world.door.send(items.delete_items(made.table, [JobKey(world.tenant, f"job_{status}").item()]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("status", "write"), CASES, ids=str)
def test_a_job_of_another_version_is_carried_on_and_keeps_what_is_not_known_of_it(
    shelf: Shelf, version: str, status: Status, write: str
) -> None:
    raw = shelf.put(version, f"job-{status}", **ADDED)
    job = shelf.send(items.get_job(shelf.table, JobKey.of(raw)))
    assert (job.status, broken_invariants(job)) == (status, [])
    outcome = shelf.send(WRITES[write][1](shelf.table, job, shelf.world.clock()))
    assert isinstance(outcome, Job)
    assert broken_invariants(outcome) == []
    assert shelf.get(raw)["zz_added"] == ADDED["zz_added"]


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_row_that_only_newer_versions_know_is_written_by_nothing(shelf: Shelf, change: Item) -> None:
    world = shelf.world
    for status in Status:
        known = shelf.put(VERSIONS[-1], f"job-{status}")
        job = shelf.send(items.get_job(shelf.table, JobKey.of(known)))
        raw = shelf.put(VERSIONS[-1], f"job-{status}", **change, **ADDED)
        writes = {name: write(shelf.table, job, world.clock()) for name, (_, write) in WRITES.items()}
        anew = replace(job, created_at=world.clock(), status=Status.QUEUED)
        # long after its retention is over, as far as this version can tell
        writes["submit"] = items.put_job(shelf.table, anew, now=5_000_000_000_000)  # type: ignore[assignment]
        for write in writes.values():
            with pytest.raises(NewerRow):
                shelf.send(write)
        assert shelf.get(raw) == raw
        assert shelf.send(items.get_jobs(shelf.table, [JobKey.of(raw)])).jobs == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_worker_and_a_sweeper_take_over(shelf: Shelf, version: str) -> None:
    """A poller runs what waits; what was running is taken from its worker, which is long gone."""
    world = shelf.world
    tools = world.tools(double)
    for status in (Status.QUEUED, Status.SCHEDULED, Status.RUNNING, Status.CANCELING):
        raw = shelf.put(version, f"job-{status}", **ADDED)
        job = shelf.send(items.get_job(shelf.table, JobKey.of(raw)))
        if status in {Status.RUNNING, Status.CANCELING}:
            world.sweep(tools)
        if status is not Status.CANCELING:
            world.run(tools, job)
        ended = Status.CANCELED if status is Status.CANCELING else Status.SUCCEEDED
        assert world.row(job).status is ended
        assert shelf.get(raw)["zz_added"] == ADDED["zz_added"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_endpoint_keeps_what_a_newer_version_knows_of_it(shelf: Shelf, version: str) -> None:
    raw = released.item(version, "endpoint", shelf.world.tenant)
    settings = {**_opened(raw["settings"]), "retry_policy": {"most": 3}}
    raw = shelf.put(version, "endpoint", settings=_closed(settings), **ADDED)
    read = shelf.send(table.get_endpoint(shelf.table, shelf.world.tenant, raw["sk"]["S"]))
    assert (read.url, read.failures) == ("https://hooks.example.com/", 2)
    assert shelf.send(table.list_endpoints(shelf.table, shelf.world.tenant)) == [read]
    written = shelf.send(table.update_endpoint(shelf.table, replace(read, failures=3)))
    assert written == shelf.send(table.get_endpoint(shelf.table, shelf.world.tenant, read.id))
    after = shelf.get(raw)
    assert after["zz_added"] == ADDED["zz_added"]
    assert _opened(after["settings"]) == settings | {"failures": 3}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_delivery_keeps_what_a_newer_version_knows_of_it(shelf: Shelf, version: str) -> None:
    now = shelf.world.clock()
    raw = released.item(version, "delivery", shelf.world.tenant)
    (tried,) = _opened(raw["attempts"])
    attempts = [{**tried, "protocol": "h2"}]
    raw = shelf.put(version, "delivery", attempts=_closed(attempts), **ADDED)
    message = DeliveryMessage.parse(released.read(version, "messages")[1])
    (read,) = shelf.send(
        table.list_deliveries(shelf.table, shelf.world.tenant, message.of, made=message.made, limit=9)
    ).deliveries
    assert read == shelf.send(table.get_delivery(shelf.table, read.key))
    begun = shelf.send(table.begin_try(shelf.table, read, now=now))
    assert isinstance(begun, Delivery)
    ended = shelf.send(table.end_try(shelf.table, begun, Attempt(now, 9, 500), next_at=now + MINUTE))
    assert ended == shelf.send(table.get_delivery(shelf.table, read.key))
    after = shelf.get(raw)
    assert after["zz_added"] == ADDED["zz_added"]
    assert _opened(after["attempts"])[0] == attempts[0]


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_delivery_that_only_newer_versions_know_is_left_to_them(shelf: Shelf, change: Item) -> None:
    known = shelf.put(VERSIONS[-1], "delivery")
    message = DeliveryMessage.parse(released.read(VERSIONS[-1], "messages")[1])
    mine = (shelf.table, shelf.world.tenant, message.of)
    (read,) = shelf.send(table.list_deliveries(*mine, made=message.made, limit=9)).deliveries
    raw = shelf.put(VERSIONS[-1], "delivery", **change)
    with pytest.raises(NewerRow):
        shelf.send(table.get_delivery(shelf.table, read.key))
    assert shelf.send(table.list_deliveries(*mine, made=message.made, limit=9)).deliveries == []
    assert shelf.send(table.update_delivery(shelf.table, replace(read, status=DeliveryStatus.FAILED))) is None
    assert shelf.get(raw) == raw
    assert shelf.world.sweep(shelf.world.tools(double)).get("newer") == 1
    shelf.send(items.delete_items(shelf.table, [{name: known[name] for name in ("pk", "sk")}]))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_lies_beside_a_row_is_read_and_kept(shelf: Shelf, version: str) -> None:
    row = shelf.put(version, "job-succeeded")
    job = shelf.send(items.get_job(shelf.table, JobKey.of(row)))
    raw = released.item(version, "artifacts", shelf.world.tenant)
    listed = [[*made, "added"] for made in _opened(raw["list"])]
    shelf.put(version, "artifacts", list=_closed(listed), **ADDED)
    (artifact,) = shelf.send(items.get_artifacts(shelf.table, job))
    assert (artifact.filename, artifact.size, artifact.content_type) == ("a.png", 7, "image/png")
    page = shelf.put(version, "history", **ADDED)
    later = replace(job, history_from=4)
    assert shelf.send(earlier_events(shelf.table, later)) == list(job.history)
    shelf.send(put_history_page(shelf.table, job))
    assert shelf.get(page)["zz_added"] == ADDED["zz_added"]
    upload = shelf.put(version, "upload", **ADDED)
    read = shelf.send(uploads.get_upload(shelf.table, JobKey.of(upload)))
    assert (read.filename, read.size, read.multipart) == ("a.csv", 7, uploads.Multipart("m", 8 << 20))


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_are_understood(version: str) -> None:
    job, delivery = map(parse, released.read(version, "messages"))
    assert isinstance(job, JobMessage)
    assert isinstance(delivery, DeliveryMessage)


def test_what_a_newer_version_adds_to_progress_and_errors_is_passed_over(shelf: Shelf) -> None:
    more = {"progress": _closed([0.5, "half", "added"]), "error": _closed(["handler-error", "it", "added"])}
    raw = shelf.put(VERSIONS[-1], "job-failed", **more)
    job = shelf.send(items.get_job(shelf.table, JobKey.of(raw)))
    assert (job.progress.message, job.error.detail) == ("half", "it")


def _opened(attribute: Any) -> Any:
    return json.loads(unpack(bytes(attribute["B"])))


def _closed(value: Any) -> Any:
    return {"B": pack(to_json(value))}
