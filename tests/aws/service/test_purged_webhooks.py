"""A job that is deleted while it is being announced: nothing of it is sent afterwards, or kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.webhook_items import list_deliveries
from coatcheck.core.clock import system_clock
from coatcheck.core.messages import JobMessage
from coatcheck.core.webhooks import Delivery, DeliveryAttempt
from coatcheck_worker.dependencies import Ack, Dependencies
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from coatcheck_worker.webhooks.deliver import deliver
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from tests.aws.service.running_service import Api
from tests.transports import Fault, FaultyTransport, on, send_after

# what two emulators make of single writes is seen elsewhere: this is about their order
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

KEY = {"Idempotency-Key": "again"}


@dataclass
class RecordingSender:
    """Attempts that are noted, and not made."""

    tried: list[Delivery] = field(default_factory=list)

    def attempt(self, delivery: Delivery, secrets: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        """As `Sender.attempt`."""
        assert secrets
        self.tried.append(delivery)
        return DeliveryAttempt(now, 1, 204), None


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

    stores = api.running_service.settings
    dependencies = Dependencies(
        FaultyTransport(api.running_service.worker, Fault(send_after(deleted), on("PutItem"), times=1)),
        stores,
        clock=system_clock,
        roll=lambda: 0.5,
    )
    create_deliveries(dependencies, JobMessage(tenant=job.tenant, job=job.id))
    assert made == [204, 202][: 1 + again]

    sender = RecordingSender()
    (message,) = api.delivery_messages()
    assert deliver(DeliveryContext(dependencies, sender), message) == Ack()
    assert sender.tried == []
    left = api.running_service.worker.send(
        list_deliveries(stores.table, job.tenant, job.id, made=job.created_at, limit=9)
    )
    assert left.deliveries == []
    assert api.running_service.worker.send(job_items.list_job_items(stores.table, job)) == []


def test_a_job_of_which_nobody_was_to_be_told_leaves_no_mark(api: Api) -> None:
    job = api.finished()
    api.spy.calls.clear()
    assert api.http.delete(f"/v1/jobs/{job.id}").status_code == 204
    assert "PutItem" not in api.spy.operations
