"""A job that is deleted while it is being announced: nothing of it is sent afterwards, or kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from coatcheck.calls import Call
from coatcheck.messages import JobMessage
from coatcheck.table import items
from coatcheck.table.webhooks import list_deliveries
from coatcheck.webhooks import Attempt, Delivery
from service.tools import system_clock
from tests.aws.service.stage import Api
from worker.aws import Boto
from worker.tools import Done, Tools
from worker.webhooks.announce import announce
from worker.webhooks.deliver import deliver
from worker.webhooks.desk import Desk

T = TypeVar("T")

# what two emulators make of single writes is seen elsewhere: this is about their order
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

KEY = {"Idempotency-Key": "again"}


@dataclass
class Meanwhile:
    """A door at which something happens before the first call of an operation."""

    door: Boto
    operation: str
    happens: Callable[[], object]
    happened: bool = False

    def send(self, call: Call[T]) -> T:
        """Send the call, last of all."""
        if call.operation == self.operation and not self.happened:
            self.happened = True
            self.happens()
        return self.door.send(call)


@dataclass
class Unsent:
    """Attempts that are noted, and not made."""

    tried: list[Delivery] = field(default_factory=list)

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[Attempt, int | None]:
        """As `Sender.attempt`."""
        assert secrets
        self.tried.append(delivery)
        return Attempt(now, 1, 204), None


@pytest.mark.parametrize("again", [False, True], ids=["", "and submitted again under its key"])
def test_a_delivery_that_is_made_while_its_job_is_deleted_is_neither_sent_nor_kept(
    api: Api,
    again: bool,  # noqa: FBT001
) -> None:
    webhook = {"url": "https://hooks.example.com/job"}
    job = api.settle(api.claim(api.post(KEY, webhook=webhook).json()["id"]))
    made: list[int] = []

    def deleted() -> None:
        made.append(api.http.delete(f"/v1/jobs/{job.id}").status_code)
        if again:
            made.append(api.post(KEY, webhook=webhook).status_code)

    stores = api.stage.deployment
    tools = Tools(Meanwhile(api.stage.worker, "PutItem", deleted), stores, {}, clock=system_clock, roll=lambda: 0.5)
    announce(tools, JobMessage(tenant=job.tenant, job=job.id))
    assert made == [204, 202][: 1 + again]

    sender = Unsent()
    (message,) = api.delivery_messages()
    assert deliver(Desk(tools, sender), message) == Done()
    assert sender.tried == []
    left = api.stage.worker.send(list_deliveries(stores.table, job.tenant, job.id, made=job.created_at, limit=9))
    assert left.deliveries == []
    assert api.stage.worker.send(items.items_beside(stores.table, job)) == []


def test_a_job_of_which_nobody_was_to_be_told_leaves_no_mark(api: Api) -> None:
    job = api.finished()
    api.spy.sent.clear()
    assert api.http.delete(f"/v1/jobs/{job.id}").status_code == 204
    assert "PutItem" not in api.spy.operations
