"""Dead letters on real queues: a lane of a test's own, and doors to it that make things hard."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from coatcheck.calls import Call
from coatcheck.deployment import WEBHOOKS, Deployment
from coatcheck.lifecycle import Status
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import Received, put_aside, receive, show_again_in
from coatcheck.record import Job
from coatcheck.table import items
from coatcheck.table.webhooks import put_delivery
from coatcheck.webhooks import Delivery, DeliveryKey, DeliveryStatus
from infra.dead_letters.letters import Timing
from infra.dead_letters.place import Place
from infra.dead_letters.program import document, letters_of
from infra.dead_letters.redrive import Order, Redrive
from tests.aws.worker.world import World
from worker.aws import Aws

T = TypeVar("T")

AT_ONCE = Timing(pause=lambda _: None, patience=0)


@dataclass
class Post:
    """A lane of a test's own, and what is put into its queues."""

    place: Place
    world: World
    sqs: Any

    @property
    def lanes(self) -> dict[str, str]:
        return self.place.deployment.dead_letters

    def put(self, body: str, reason: str = "tried", lane: str = "default") -> None:
        self.place.aws.send(put_aside(self.lanes[lane], body, reason))

    def submit_done(self, **changes: Any) -> Job:
        """A job that has succeeded, and a dead letter of the webhooks that is about it."""
        job = self.world.submit(status=Status.SUCCEEDED, attempt=1, due_at=None, **changes)
        self.put(message_of(job), lane=WEBHOOKS)
        return job

    def put_job(self, status: Status = Status.QUEUED, **changes: Any) -> Job:
        job = self.world.submit(status=status, due_at=None, **changes)
        self.put(message_of(job))
        return job

    def put_delivery(self, job: Job, status: DeliveryStatus = DeliveryStatus.PENDING) -> DeliveryMessage:
        """A delivery of an event of the job, and a dead letter that is about it."""
        key = DeliveryKey(job.tenant, job.id, job.created_at, f"dlv_{secrets.token_hex(8)}")
        delivery = Delivery(
            key, "evt_1", "job.succeeded", "whe_1", "https://example.com", b"{}", 1, 2 * 10**12, status=status, tries=3
        )
        self.place.aws.send(put_delivery(self.place.deployment.table, delivery))
        return self.put_delivery_message(key)

    def put_delivery_message(self, key: DeliveryKey) -> DeliveryMessage:
        message = DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint="whe_1")
        self.put(message.model_dump_json(), lane=WEBHOOKS)
        return message

    def redrive(self, door: Aws | None = None, timing: Timing = AT_ONCE, **asked: Any) -> str:
        run = Redrive(replace(self.place, aws=door or self.place.aws), Order(**asked), timing)
        run.go_through(self.lanes)
        return run.summary()

    def listed(self) -> list[dict[str, Any]]:
        return [document(letter) for letter in letters_of(self.place, self.lanes, AT_ONCE)]

    def queued(self, lane: str = "default") -> list[str]:
        """The bodies in the lane's queue, as any worker receives them now."""
        return [one.body for one in self._all(self.place.deployment.queues[lane])]

    def left(self, lane: str = "default") -> list[str]:
        """The bodies in the dead letters, as anybody receives them now."""
        return [one.body for one in self._all(self.lanes[lane])]

    def counts(self) -> tuple[int, int]:
        """How many dead letters are to be had, and how many somebody holds."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        told = self.sqs.get_queue_attributes(QueueUrl=self.lanes["default"], AttributeNames=names)["Attributes"]
        free, held = (int(told[name]) for name in names)
        return free, held

    def _all(self, url: str) -> Sequence[Received]:
        found: list[Received] = []
        while batch := self.place.aws.send(receive(url, wait=0, limit=10, hold=60)):
            found += batch
        for one in found:
            self.place.aws.send(show_again_in(one, 0))
        return found


def message_of(job: Job) -> str:
    return JobMessage(tenant=job.tenant, job=job.id).model_dump_json()


def make_newer(post: Post, job: Job) -> None:
    """Let the row look as a newer version of the service writes it."""
    put = items.put_job(post.place.deployment.table, job, now=0)
    newer = {**put.params["Item"], "status": {"S": "pondering"}}
    post.place.aws.send(Call("dynamodb", "PutItem", {"TableName": put.params["TableName"], "Item": newer}, read=str))


class Arriving:
    """A door with another dead letter arriving before each look into the queue."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self.count = 0

    def send(self, call: Call[T]) -> T:
        if call.operation == "ReceiveMessage":
            self._post.put("garbage")
            self.count += 1
        return self._post.place.aws.send(call)


class Slow:
    """A door with so much time between two looks into a queue that the hold has passed, thrice."""

    def __init__(self, door: Aws) -> None:
        self._door = door
        self._looks = 0

    def send(self, call: Call[T]) -> T:
        answer = self._door.send(call)
        if call.operation == "ReceiveMessage" and self._looks < 3:
            self._looks += 1
            for received in cast("Sequence[Received]", answer):
                self._door.send(show_again_in(received, 0))
        return answer


def variables(deployment: Deployment) -> dict[str, str]:
    """The environment that makes this deployment."""
    return {
        "COATCHECK_TABLE": deployment.table,
        "COATCHECK_BUCKET": deployment.bucket,
        "COATCHECK_QUEUES": json.dumps(deployment.queues),
        "COATCHECK_DEAD_LETTERS": json.dumps(deployment.dead_letters),
        "COATCHECK_WEBHOOK_KEY": deployment.webhook_key,
    }
