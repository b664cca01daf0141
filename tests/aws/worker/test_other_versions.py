"""Versions side by side: what an earlier one wrote is carried on, what a newer one added is kept, or left to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions, upload_items
from coatcheck.core.aws.dynamodb import webhook_items as table
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.history import earlier_events, put_history_page
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.clock import MINUTE
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import CANCEL, FAIL, SUCCEED, Status
from coatcheck.core.messages import DeliveryMessage, JobMessage, parse_webhook_message
from coatcheck.core.pack import pack, to_json, unpack
from coatcheck.core.webhooks import Delivery, DeliveryAttempt, DeliveryStatus
from tests import released_items
from tests.aws.worker.worker_harness import WorkerHarness, double
from tests.released_items import ADDED, VERSIONS, RawItems

ERROR = JobError("worker-lost", "gone")
OUT = Blob.of(b'{"n":2}', JSON)

Write = Callable[[str, Job, int], Call[transitions.TransitionOutcome]]

WRITES: Mapping[str, tuple[frozenset[Status], Write]] = {
    "release": (frozenset({Status.SCHEDULED}), lambda t, job, now: transitions.release(t, _key(job), now=now)),
    "claim": (
        frozenset({Status.QUEUED}),
        lambda t, job, now: transitions.claim(t, _key(job), now=now, lease=MINUTE, owner="me"),
    ),
    "renew lease": (
        frozenset({Status.RUNNING, Status.CANCELING}),
        lambda t, job, now: transitions.renew_lease(t, job, now=now, lease=MINUTE, progress=None),
    ),
    "retry": (
        frozenset({Status.RUNNING}),
        lambda t, job, now: transitions.retry(t, job, now=now, start_at=now, error=ERROR),
    ),
    "continue": (
        frozenset({Status.RUNNING}),
        lambda t, job, now: transitions.continue_later(t, job, now=now, checkpoint=OUT),
    ),
    "succeed": (
        frozenset({Status.RUNNING}),
        lambda t, job, now: transitions.settle(t, job, SUCCEED, now=now, result=OUT),
    ),
    "fail": (frozenset({Status.RUNNING}), lambda t, job, now: transitions.settle(t, job, FAIL, now=now, error=ERROR)),
    "request cancel": (frozenset({Status.RUNNING}), lambda t, job, now: transitions.request_cancel(t, job, now=now)),
    "cancel": (
        frozenset({Status.CANCELING}),
        lambda t, job, now: transitions.settle(t, job, CANCEL, now=now, error=ERROR, sweeper=True),
    ),
    "cancel waiting": (
        frozenset({Status.SCHEDULED, Status.QUEUED}),
        lambda t, job, now: transitions.cancel_waiting(t, job, now=now, error=ERROR),
    ),
    "postpone": (
        frozenset(Status),
        lambda t, job, now: job_updates.postpone(t, job, due_at=now + MINUTE, dispatches=1),
    ),
    "announce": (Status.all_final(), lambda t, job, _: job_updates.mark_notified(t, job, remaining=())),
    "forget": (Status.all_final(), lambda t, job, now: job_updates.purge_job(t, job, now=now)),
}
CASES = [(status, name) for status in Status for name, (of, _) in WRITES.items() if status in of]
NEWER: Mapping[str, Item] = {
    "schema": {"schema": {"N": "2"}},
    "status": {"status": {"S": "paused"}, "version": {"N": "9"}},
}


def _key(job: Job) -> JobKey:
    return JobKey(job.tenant, job.id)


class HarnessItems(RawItems):
    """The items of a harness's tenant."""

    def __init__(self, harness: WorkerHarness, url: str) -> None:
        super().__init__(url, harness.settings.table, harness.tenant)
        self.harness = harness

    def send(self, call: Call[Any]) -> Any:
        """Carry out a call."""
        return self.harness.transport.send(call)


@pytest.fixture
def raw_items(harness: WorkerHarness, emulator_url: str) -> Iterator[HarnessItems]:
    """A table that other versions write to; what they leave due there is taken away."""
    made = HarnessItems(harness, emulator_url)
    yield made
    for status in Status:
        harness.transport.send(job_items.delete_items(made.table, [JobKey(harness.tenant, f"job_{status}").item()]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("status", "write"), CASES, ids=str)
def test_a_job_of_another_version_is_carried_on_and_keeps_what_is_not_known_of_it(
    raw_items: HarnessItems, version: str, status: Status, write: str
) -> None:
    raw = raw_items.put(version, f"job-{status}", **ADDED)
    job = raw_items.send(job_items.get_job(raw_items.table, JobKey.of(raw)))
    assert (job.status, broken_invariants(job)) == (status, [])
    outcome = raw_items.send(WRITES[write][1](raw_items.table, job, raw_items.harness.clock()))
    assert isinstance(outcome, Job)
    assert broken_invariants(outcome) == []
    assert raw_items.get(raw)["zz_added"] == ADDED["zz_added"]


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_row_that_only_newer_versions_know_is_written_by_nothing(raw_items: HarnessItems, change: Item) -> None:
    harness = raw_items.harness
    for status in Status:
        known = raw_items.put(VERSIONS[-1], f"job-{status}")
        job = raw_items.send(job_items.get_job(raw_items.table, JobKey.of(known)))
        raw = raw_items.put(VERSIONS[-1], f"job-{status}", **change, **ADDED)
        writes = {name: write(raw_items.table, job, harness.clock()) for name, (_, write) in WRITES.items()}
        anew = replace(job, created_at=harness.clock(), status=Status.QUEUED)
        # long after its retention is over, as far as this version can tell
        writes["submit"] = job_items.put_job(raw_items.table, anew, now=5_000_000_000_000)  # type: ignore[assignment]
        for write in writes.values():
            with pytest.raises(NewerRow):
                raw_items.send(write)
        assert raw_items.get(raw) == raw
        assert raw_items.send(job_items.get_jobs(raw_items.table, [JobKey.of(raw)])).jobs == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_worker_and_a_sweeper_take_over(raw_items: HarnessItems, version: str) -> None:
    """A poller runs what waits; what was running is taken from its worker, which is long gone."""
    harness = raw_items.harness
    dependencies = harness.dependencies(double)
    for status in (Status.QUEUED, Status.SCHEDULED, Status.RUNNING, Status.CANCELING):
        raw = raw_items.put(version, f"job-{status}", **ADDED)
        job = raw_items.send(job_items.get_job(raw_items.table, JobKey.of(raw)))
        if status in {Status.RUNNING, Status.CANCELING}:
            harness.sweep(dependencies)
        if status is not Status.CANCELING:
            harness.run(dependencies, job)
        ended = Status.CANCELED if status is Status.CANCELING else Status.SUCCEEDED
        assert harness.row(job).status is ended
        assert raw_items.get(raw)["zz_added"] == ADDED["zz_added"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_endpoint_keeps_what_a_newer_version_knows_of_it(raw_items: HarnessItems, version: str) -> None:
    raw = released_items.item(version, "endpoint", raw_items.harness.tenant)
    settings = {**_opened(raw["settings"]), "retry_policy": {"most": 3}}
    raw = raw_items.put(version, "endpoint", settings=_closed(settings), **ADDED)
    read = raw_items.send(table.get_endpoint(raw_items.table, raw_items.harness.tenant, raw["sk"]["S"]))
    assert (read.url, read.failures) == ("https://hooks.example.com/", 2)
    assert raw_items.send(table.list_endpoints(raw_items.table, raw_items.harness.tenant)) == [read]
    written = raw_items.send(table.update_endpoint(raw_items.table, replace(read, failures=3)))
    assert written == raw_items.send(table.get_endpoint(raw_items.table, raw_items.harness.tenant, read.id))
    after = raw_items.get(raw)
    assert after["zz_added"] == ADDED["zz_added"]
    assert _opened(after["settings"]) == settings | {"failures": 3}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_delivery_keeps_what_a_newer_version_knows_of_it(raw_items: HarnessItems, version: str) -> None:
    now = raw_items.harness.clock()
    raw = released_items.item(version, "delivery", raw_items.harness.tenant)
    (tried,) = _opened(raw["attempts"])
    attempts = [{**tried, "protocol": "h2"}]
    raw = raw_items.put(version, "delivery", attempts=_closed(attempts), **ADDED)
    message = DeliveryMessage.parse(released_items.read(version, "messages")[1])
    (read,) = raw_items.send(
        table.list_deliveries(raw_items.table, raw_items.harness.tenant, message.of, made=message.made, limit=9)
    ).deliveries
    assert read == raw_items.send(table.get_delivery(raw_items.table, read.key))
    begun = raw_items.send(table.begin_attempt(raw_items.table, read, now=now))
    assert isinstance(begun, Delivery)
    ended = raw_items.send(
        table.end_attempt(raw_items.table, begun, DeliveryAttempt(now, 9, 500), next_at=now + MINUTE)
    )
    assert ended == raw_items.send(table.get_delivery(raw_items.table, read.key))
    after = raw_items.get(raw)
    assert after["zz_added"] == ADDED["zz_added"]
    assert _opened(after["attempts"])[0] == attempts[0]


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
def test_a_delivery_that_only_newer_versions_know_is_left_to_them(raw_items: HarnessItems, change: Item) -> None:
    known = raw_items.put(VERSIONS[-1], "delivery")
    message = DeliveryMessage.parse(released_items.read(VERSIONS[-1], "messages")[1])
    mine = (raw_items.table, raw_items.harness.tenant, message.of)
    (read,) = raw_items.send(table.list_deliveries(*mine, made=message.made, limit=9)).deliveries
    raw = raw_items.put(VERSIONS[-1], "delivery", **change)
    with pytest.raises(NewerRow):
        raw_items.send(table.get_delivery(raw_items.table, read.key))
    assert raw_items.send(table.list_deliveries(*mine, made=message.made, limit=9)).deliveries == []
    assert raw_items.send(table.update_delivery(raw_items.table, replace(read, status=DeliveryStatus.FAILED))) is None
    assert raw_items.get(raw) == raw
    assert raw_items.harness.sweep(raw_items.harness.dependencies(double)).get("newer") == 1
    raw_items.send(job_items.delete_items(raw_items.table, [{name: known[name] for name in ("pk", "sk")}]))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_lies_beside_a_row_is_read_and_kept(raw_items: HarnessItems, version: str) -> None:
    row = raw_items.put(version, "job-succeeded")
    job = raw_items.send(job_items.get_job(raw_items.table, JobKey.of(row)))
    raw = released_items.item(version, "artifacts", raw_items.harness.tenant)
    listed = [[*made, "added"] for made in _opened(raw["list"])]
    raw_items.put(version, "artifacts", list=_closed(listed), **ADDED)
    (artifact,) = raw_items.send(job_items.get_artifacts(raw_items.table, job))
    blob = artifact.blob
    assert (blob.filename, blob.size, blob.content_type, artifact.attempt) == ("a.png", 7, "image/png", job.attempt)
    page = raw_items.put(version, "history", **ADDED)
    later = replace(job, history_from=4)
    assert raw_items.send(earlier_events(raw_items.table, later)) == list(job.history)
    raw_items.send(put_history_page(raw_items.table, job))
    assert raw_items.get(page)["zz_added"] == ADDED["zz_added"]
    upload = raw_items.put(version, "upload", **ADDED)
    read = raw_items.send(upload_items.get_upload(raw_items.table, JobKey.of(upload)))
    assert (read.filename, read.size, read.multipart) == ("a.csv", 7, upload_items.Multipart("m", 8 << 20))


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_are_understood(version: str) -> None:
    job, delivery = map(parse_webhook_message, released_items.read(version, "messages"))
    assert isinstance(job, JobMessage)
    assert isinstance(delivery, DeliveryMessage)


def test_what_a_newer_version_adds_to_progress_and_errors_is_passed_over(raw_items: HarnessItems) -> None:
    more = {"progress": _closed([0.5, "half", "added"]), "error": _closed(["handler-error", "it", "added"])}
    raw = raw_items.put(VERSIONS[-1], "job-failed", **more)
    job = raw_items.send(job_items.get_job(raw_items.table, JobKey.of(raw)))
    assert (job.progress.message, job.error.detail) == ("half", "it")


def _opened(attribute: Any) -> Any:
    return json.loads(unpack(bytes(attribute["B"])))


def _closed(value: Any) -> Any:
    return {"B": pack(to_json(value))}
