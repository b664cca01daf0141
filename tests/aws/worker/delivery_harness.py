"""Webhooks of one tenant on real stores: endpoints, jobs that are told of, and the deliverer on a movable clock."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import signature
from coatcheck.core.aws.dynamodb.webhook_items import (
    get_delivery,
    get_endpoint,
    list_deliveries,
    postponed,
    put_delivery,
    put_endpoint,
    update_endpoint,
)
from coatcheck.core.aws.enqueue import delivery_message
from coatcheck.core.aws.secrets_manager import get_secret
from coatcheck.core.aws.sqs import delete, receive
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.ids import make_id
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.ssrf import SsrfPolicy
from coatcheck.core.webhooks import (
    EVENTS,
    TEST_EVENT,
    Delivery,
    DeliveryKey,
    DeliveryStatus,
    WebhookEndpoint,
    delivery_id,
)
from coatcheck_worker.dependencies import Dependencies, Disposition
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from coatcheck_worker.webhooks.deliver import deliver
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from coatcheck_worker.webhooks.sender import RESPONSE_TIMEOUT, HttpWebhookSender
from tests.aws.worker.faulty_receiver import ReceivedRequest
from tests.aws.worker.worker_harness import WorkerHarness, double

ENDS = EVENTS[1:]
BASE_URL = "https://jobs.example"


@dataclass
class DeliveryHarness:
    """The deliverer of one world."""

    harness: WorkerHarness
    jobs: list[Job] = field(default_factory=list)

    def delivery_context(self, transport: Transport | None = None, *, roll: float = 0.5) -> DeliveryContext:
        """A deliverer's desk, new as its process is."""
        dependencies = replace(self.harness.dependencies(double, transport), roll=lambda: roll)
        return DeliveryContext(dependencies, HttpWebhookSender(SsrfPolicy.local()))

    @property
    def dependencies(self) -> Dependencies:
        """A worker's."""
        return self.harness.dependencies(double)

    def endpoint(self, url: str, events: Sequence[str] = ENDS, **fields: Any) -> WebhookEndpoint:
        """A new endpoint."""
        made = WebhookEndpoint(
            self.harness.tenant, make_id("whe", secrets.token_bytes(16)), url, tuple(events), self.harness.clock()
        )
        made = replace(made, **fields)
        assert self.harness.transport.send(put_endpoint(self.harness.settings.table, made))
        return made

    def ping(self, endpoint: WebhookEndpoint) -> Delivery:
        """A test of an endpoint, as the API writes it."""
        now = self.harness.clock()
        event = make_id("evt", secrets.token_bytes(16))
        key = DeliveryKey(endpoint.tenant, endpoint.id, endpoint.created_at, delivery_id(event, endpoint.id))
        made = postponed(
            Delivery(key, event, TEST_EVENT, endpoint.id, endpoint.url, b"{}", now, now + DAY), now, now=now
        )
        assert self.harness.transport.send(put_delivery(self.harness.settings.table, made))
        return made

    def read(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """An endpoint as it is now."""
        found = self.harness.transport.send(get_endpoint(self.harness.settings.table, endpoint.tenant, endpoint.id))
        assert found is not None
        return found

    def change(self, endpoint: WebhookEndpoint, **fields: Any) -> WebhookEndpoint:
        """What the owner changes of an endpoint."""
        changed = replace(self.read(endpoint), **fields)
        written = self.harness.transport.send(update_endpoint(self.harness.settings.table, changed))
        assert written is not None
        return written

    def job(self, notify: Sequence[str] = ENDS, **changes: Any) -> Job:
        """A job that somebody wants to be told of, not run yet."""
        made = self.harness.submit(notify=tuple(notify), base_url=BASE_URL, **changes)
        self.jobs.append(made)
        return made

    def ended(self, notify: Sequence[str] = ENDS, **changes: Any) -> Job:
        """A job that has succeeded, and that nobody was told of."""
        job = self.job(notify, **changes)
        self.harness.run(self.dependencies, job)
        row = self.harness.row(job)
        assert row.status is Status.SUCCEEDED
        return row

    def announced(self, job: Job, delivery_context: DeliveryContext | None = None) -> list[Delivery]:
        """The deliveries of a job, once it was announced."""
        create_deliveries(
            (delivery_context or self.delivery_context()).dependencies, JobMessage(tenant=job.tenant, job=job.id)
        )
        return self.deliveries(job)

    def deliveries(self, job: Job) -> list[Delivery]:
        """The deliveries of a job."""
        table = self.harness.settings.table
        found = self.harness.transport.send(
            list_deliveries(table, job.tenant, job.id, made=job.created_at, limit=100)
        ).deliveries
        return list(found)

    def read_delivery(self, delivery: Delivery) -> Delivery:
        """A delivery as it is now."""
        found = self.harness.transport.send(get_delivery(self.harness.settings.table, delivery.key))
        assert found is not None
        return found

    def deliver(self, delivery: Delivery, delivery_context: DeliveryContext | None = None) -> Disposition:
        """What comes of a message for a delivery, now."""
        return deliver(delivery_context or self.delivery_context(), delivery_message(delivery))

    def attempted(self, delivery: Delivery, delivery_context: DeliveryContext | None = None) -> Delivery:
        """The delivery after a message for it that comes when its next attempt is due."""
        self.wait_for(self.read_delivery(delivery))
        self.deliver(delivery, delivery_context)
        return self.read_delivery(delivery)

    def wait_for(self, delivery: Delivery) -> None:
        """Move the clock to the next attempt at a delivery."""
        at = delivery.next_attempt_at
        assert at is not None
        self.harness.clock.ahead += max(0, at - self.harness.clock())

    def until_over(self, delivery: Delivery) -> Delivery:
        """The delivery when there is nothing more to be tried."""
        while (now := self.read_delivery(delivery)).status is DeliveryStatus.PENDING:
            self.attempted(now)
        return now

    def secret(self, endpoint_id: str, generation: int = 1) -> str:
        """What the owner of an endpoint was shown."""
        key = self.harness.transport.send(get_secret(self.harness.settings.webhook_key))
        return signature.derive_secret(key, self.harness.tenant, endpoint_id, str(generation))

    def verified(self, received: ReceivedRequest, *keys: str) -> dict[str, Any]:
        """The event that has arrived, since the clock was last moved. Raises BadSignature."""
        at = received.at + self.harness.clock.ahead / SECOND
        return signature.verify(keys, received.headers, received.body, now=at, tolerance=int(RESPONSE_TIMEOUT))

    def messages(self) -> list[str]:
        """What is in the queue of webhooks; there is nothing, afterwards."""
        found: list[str] = []
        while batch := self.harness.transport.send(receive(self.harness.settings.queues["webhooks"], wait=0, limit=10)):
            found += [received.body for received in batch]
            for received in batch:
                self.harness.transport.send(delete(received))
        return found
