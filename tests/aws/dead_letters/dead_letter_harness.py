"""Dead letters on real queues: a lane of a test's own, and doors to it that make things hard."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.webhook_items import put_delivery
from coatcheck.core.aws.sqs import ReceivedMessage, change_visibility, receive, send_dead_letter
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck.core.webhooks import Delivery, DeliveryKey, DeliveryStatus
from coatcheck_infra.ops.dead_letters.operations import read_dead_letters, to_json
from coatcheck_infra.ops.dead_letters.queue_reader import Timing
from coatcheck_infra.ops.dead_letters.redrive import Redrive, RedriveOptions
from coatcheck_infra.ops.target_deployment import TargetDeployment
from tests.aws.worker.worker_harness import WorkerHarness
from tests.transports import Steps

AT_ONCE = Timing(pause=lambda _: None, idle_timeout=0)


@dataclass
class DeadLetterHarness:
    """A lane of a test's own, and what is put into its queues."""

    target: TargetDeployment
    harness: WorkerHarness
    sqs: Any

    @property
    def lanes(self) -> dict[str, str]:
        return self.target.settings.dead_letters

    def put(self, body: str, reason: str = "tried", lane: str = "default") -> None:
        self.target.aws.send(send_dead_letter(self.lanes[lane], body, reason))

    def submit_done(self, **changes: Any) -> Job:
        """A job that has succeeded, and a dead letter of the webhooks that is about it."""
        job = self.harness.submit(status=Status.SUCCEEDED, attempt=1, due_at=None, **changes)
        self.put(message_of(job), lane=WEBHOOKS)
        return job

    def put_job(self, status: Status = Status.QUEUED, **changes: Any) -> Job:
        job = self.harness.submit(status=status, due_at=None, **changes)
        self.put(message_of(job))
        return job

    def put_delivery(self, job: Job, status: DeliveryStatus = DeliveryStatus.PENDING) -> DeliveryMessage:
        """A delivery of an event of the job, and a dead letter that is about it."""
        key = DeliveryKey(job.tenant, job.id, job.created_at, f"dlv_{secrets.token_hex(8)}")
        delivery = Delivery(
            key, "evt_1", "job.succeeded", "whe_1", "https://example.com", b"{}", 1, 2 * 10**12, status=status, tries=3
        )
        self.target.aws.send(put_delivery(self.target.settings.table, delivery))
        return self.put_delivery_message(key)

    def put_delivery_message(self, key: DeliveryKey) -> DeliveryMessage:
        message = DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint="whe_1")
        self.put(message.model_dump_json(), lane=WEBHOOKS)
        return message

    def redrive(self, transport: Transport | None = None, timing: Timing = AT_ONCE, **asked: Any) -> str:
        run = Redrive(replace(self.target, aws=transport or self.target.aws), RedriveOptions(**asked), timing)
        run.process_lanes(self.lanes)
        return run.summary()

    def listed(self) -> list[dict[str, Any]]:
        return [to_json(dead_letter) for dead_letter in read_dead_letters(self.target, self.lanes, AT_ONCE)]

    def queued(self, lane: str = "default") -> list[str]:
        """The bodies in the lane's queue, as any worker receives them now."""
        return [one.body for one in self._all(self.target.settings.queues[lane])]

    def dead(self, lane: str = "default") -> list[str]:
        """The bodies in the dead letters, as anybody receives them now."""
        return [one.body for one in self._all(self.lanes[lane])]

    def counts(self) -> tuple[int, int]:
        """How many dead letters are to be had, and how many somebody holds."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.lanes["default"], AttributeNames=names)["Attributes"]
        free, held = (int(attributes[name]) for name in names)
        return free, held

    def _all(self, url: str) -> Sequence[ReceivedMessage]:
        found: list[ReceivedMessage] = []
        while batch := self.target.aws.send(receive(url, wait=0, limit=10, visibility_timeout=60)):
            found += batch
        for one in found:
            self.target.aws.send(change_visibility(one, 0))
        return found


def message_of(job: Job) -> str:
    return JobMessage(tenant=job.tenant, job=job.id).model_dump_json()


def make_newer(dlq: DeadLetterHarness, job: Job) -> None:
    """Let the row look as a newer version of the service writes it."""
    put = job_items.put_job(dlq.target.settings.table, job, now=0)
    newer = {**put.params["Item"], "status": {"S": "pondering"}}
    dlq.target.aws.send(Call("dynamodb", "PutItem", {"TableName": put.params["TableName"], "Item": newer}, read=str))


def end_hold(call: Call[Any]) -> Steps:
    """Let so much time pass after a receive that the hold of what was received is over."""
    answer = yield call
    for received in answer:
        yield change_visibility(received, 0)
    return answer


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that makes this deployment."""
    return {
        "COATCHECK_JOBS": settings.jobs,
        "COATCHECK_TABLE": settings.table,
        "COATCHECK_BUCKET": settings.bucket,
        "COATCHECK_QUEUES": json.dumps(settings.queues),
        "COATCHECK_DEAD_LETTERS": json.dumps(settings.dead_letters),
        "COATCHECK_WEBHOOK_KEY": settings.webhook_key,
    }
