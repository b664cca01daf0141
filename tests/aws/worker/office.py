"""Webhooks of one tenant on real stores: endpoints, jobs that are told of, and the deliverer on a movable clock."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coatcheck import signature
from coatcheck.clock import SECOND
from coatcheck.ids import make_id
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.queues import delete, receive
from coatcheck.record import Job
from coatcheck.secrets_manager import get_secret
from coatcheck.table.webhooks import get_delivery, get_endpoint, list_deliveries, put_endpoint, update_endpoint
from coatcheck.targets import Targets
from coatcheck.webhooks import EVENTS, Delivery, DeliveryStatus, Endpoint
from tests.aws.worker.moody import Arrived
from tests.aws.worker.world import World, double
from worker.aws import Aws
from worker.tools import Tools, Verdict
from worker.webhooks.announce import announce
from worker.webhooks.attempts import ANSWER_WITHIN, Sender
from worker.webhooks.deliver import deliver
from worker.webhooks.desk import Desk
from worker.webhooks.wake import message_of

ENDS = EVENTS[1:]
BASE_URL = "https://jobs.example"


@dataclass
class Office:
    """The deliverer of one world."""

    world: World
    jobs: list[Job] = field(default_factory=list)

    def desk(self, door: Aws | None = None, *, roll: float = 0.5) -> Desk:
        """A deliverer's desk, new as its process is."""
        tools = replace(self.world.tools(double, door), roll=lambda: roll)
        return Desk(tools, Sender(Targets.local()))

    @property
    def tools(self) -> Tools:
        """A worker's."""
        return self.world.tools(double)

    def endpoint(self, url: str, events: Sequence[str] = ENDS, **settings: Any) -> Endpoint:
        """A new endpoint."""
        made = Endpoint(
            self.world.tenant, make_id("whe", secrets.token_bytes(16)), url, tuple(events), self.world.clock()
        )
        made = replace(made, **settings)
        assert self.world.door.send(put_endpoint(self.world.deployment.table, made))
        return made

    def read(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint as it is now."""
        found = self.world.door.send(get_endpoint(self.world.deployment.table, endpoint.tenant, endpoint.id))
        assert found is not None
        return found

    def change(self, endpoint: Endpoint, **settings: Any) -> Endpoint:
        """What the owner changes of an endpoint."""
        changed = replace(self.read(endpoint), **settings)
        written = self.world.door.send(update_endpoint(self.world.deployment.table, changed))
        assert written is not None
        return written

    def job(self, notify: Sequence[str] = ENDS, **changes: Any) -> Job:
        """A job that somebody wants to be told of, not run yet."""
        made = self.world.submit(notify=tuple(notify), base_url=BASE_URL, **changes)
        self.jobs.append(made)
        return made

    def ended(self, notify: Sequence[str] = ENDS, **changes: Any) -> Job:
        """A job that has succeeded, and that nobody was told of."""
        job = self.job(notify, **changes)
        self.world.run(self.tools, job)
        row = self.world.row(job)
        assert row.status is Status.SUCCEEDED
        return row

    def announced(self, job: Job, desk: Desk | None = None) -> list[Delivery]:
        """The deliveries of a job, once it was announced."""
        announce((desk or self.desk()).tools, JobMessage(tenant=job.tenant, job=job.id))
        return self.deliveries(job)

    def deliveries(self, job: Job) -> list[Delivery]:
        """The deliveries of a job."""
        table = self.world.deployment.table
        found = self.world.door.send(
            list_deliveries(table, job.tenant, job.id, made=job.created_at, limit=100)
        ).deliveries
        return list(found)

    def look(self, delivery: Delivery) -> Delivery:
        """A delivery as it is now."""
        found = self.world.door.send(get_delivery(self.world.deployment.table, delivery.key))
        assert found is not None
        return found

    def deliver(self, delivery: Delivery, desk: Desk | None = None) -> Verdict:
        """What comes of a message for a delivery, now."""
        return deliver(desk or self.desk(), message_of(delivery))

    def tried(self, delivery: Delivery, desk: Desk | None = None) -> Delivery:
        """The delivery after a message for it that comes when its next attempt is due."""
        self.wait_for(self.look(delivery))
        self.deliver(delivery, desk)
        return self.look(delivery)

    def wait_for(self, delivery: Delivery) -> None:
        """Move the clock to the next attempt at a delivery."""
        at = delivery.next_attempt_at
        assert at is not None
        self.world.clock.ahead += max(0, at - self.world.clock())

    def until_over(self, delivery: Delivery) -> Delivery:
        """The delivery when there is nothing more to be tried."""
        while (now := self.look(delivery)).status is DeliveryStatus.PENDING:
            self.tried(now)
        return now

    def secret(self, endpoint_id: str, generation: int = 1) -> str:
        """What the owner of an endpoint was shown."""
        key = self.world.door.send(get_secret(self.world.deployment.webhook_key))
        return signature.derive_secret(key, self.world.tenant, endpoint_id, str(generation))

    def verified(self, arrived: Arrived, *keys: str) -> dict[str, Any]:
        """The event that has arrived, since the clock was last moved. Raises BadSignature."""
        at = arrived.at + self.world.clock.ahead / SECOND
        return signature.verify(keys, arrived.headers, arrived.body, now=at, tolerance=int(ANSWER_WITHIN))

    def messages(self) -> list[str]:
        """What is in the queue of webhooks; there is nothing, afterwards."""
        found: list[str] = []
        while batch := self.world.door.send(receive(self.world.deployment.queues["webhooks"], wait=0, limit=10)):
            found += [received.body for received in batch]
            for received in batch:
                self.world.door.send(delete(received))
        return found
