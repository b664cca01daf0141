"""A standard SQS queue in memory: delays, visibility, and doubles where they are asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coatcheck.core.clock import SECOND
from tests.simulation.dynamodb import Params, Refusal
from tests.simulation.nondeterminism import Nondeterminism

VISIBILITY = 5400
"""Seconds: what the template sets for the queues of jobs."""

MAX_RECEIVES = 100
"""What the template sets; a message received more often goes to the dead-letter queue."""

MOST_IN_FLIGHT = 120_000
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

MOST_DELAY, MOST_VISIBILITY, MOST_ENTRIES = 900, 43_200, 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""


@dataclass(slots=True)
class Message:
    """One message that is not deleted."""

    number: int
    body: str
    visible_at: int
    sent_at: int
    attributes: Mapping[str, Any]
    receive_count: int = 0


@dataclass
class Queue:
    """One queue. `choice` picks among the messages that can be received: a standard queue keeps no order.

    `nondeterminism` says whether a message that is received stays visible, as one stored twice does.
    """

    choice: Callable[[int], int] = lambda _: 0
    nondeterminism: Nondeterminism = field(default_factory=Nondeterminism)
    messages: dict[int, Message] = field(default_factory=dict)
    dead: list[Message] = field(default_factory=list)
    most_in_flight: int = MOST_IN_FLIGHT
    _count: int = 0

    def next_visible(self) -> int | None:
        """When the next message can be received, if there is any."""
        return min((message.visible_at for message in self.messages.values()), default=None)

    def send(self, params: Params, now: int) -> Any:
        """SendMessage."""
        delay = params.get("DelaySeconds", 0)
        if not 0 <= delay <= MOST_DELAY:
            raise Refusal("InvalidParameterValue")
        self._count += 1
        attributes = params.get("MessageAttributes", {})
        body = params["MessageBody"]
        self.messages[self._count] = Message(self._count, body, now + delay * SECOND, now, attributes)
        return {"MessageId": str(self._count)}

    def send_batch(self, params: Params, now: int) -> Any:
        """SendMessageBatch."""
        return self._batch(params, lambda entry: self.send(entry, now))

    def receive(self, params: Params, now: int) -> Any:
        """ReceiveMessage; waiting is the caller's."""
        taken: list[Message] = []
        visible = [message for message in self.messages.values() if message.visible_at <= now]
        if self._in_flight(now) >= self.most_in_flight:
            raise Refusal("OverLimit")
        while visible and len(taken) < params.get("MaxNumberOfMessages", 1):
            message = visible.pop(self.choice(len(visible)))
            message.receive_count += 1
            if message.receive_count > MAX_RECEIVES:
                self.dead.append(self.messages.pop(message.number))
                continue
            if not self.nondeterminism.doubled():
                message.visible_at = now + params.get("VisibilityTimeout", VISIBILITY) * SECOND
            taken.append(message)
        return {"Messages": [_as_received(message) for message in taken]} if taken else {}

    def delete(self, params: Params, _now: int) -> Any:
        """DeleteMessage, by the handle of any receive: SQS promises no more, and no less, of old handles."""
        self.messages.pop(_number(params), None)
        return {}

    def delete_batch(self, params: Params, now: int) -> Any:
        """DeleteMessageBatch."""
        return self._batch(params, lambda entry: self.delete(entry, now))

    def change_visibility(self, params: Params, now: int) -> Any:
        """ChangeMessageVisibility."""
        message = self.messages.get(_number(params))
        if message is None or not 0 <= params["VisibilityTimeout"] <= MOST_VISIBILITY:
            raise Refusal("InvalidParameterValue")
        if message.visible_at <= now:
            raise Refusal("MessageNotInflight")
        message.visible_at = now + params["VisibilityTimeout"] * SECOND
        return {}

    def attributes(self, params: Params, now: int) -> Any:
        """GetQueueAttributes: how many messages can be received, are in flight, and are delayed."""
        waiting = [message for message in self.messages.values() if message.visible_at > now]
        delayed = sum(message.receive_count == 0 for message in waiting)
        counts = {
            "ApproximateNumberOfMessages": len(self.messages) - len(waiting),
            "ApproximateNumberOfMessagesNotVisible": len(waiting) - delayed,
            "ApproximateNumberOfMessagesDelayed": delayed,
        }
        asked = params.get("AttributeNames", [])
        return {"Attributes": {name: str(n) for name, n in counts.items() if name in asked or "All" in asked}}

    def _in_flight(self, now: int) -> int:
        return sum(message.visible_at > now and message.receive_count > 0 for message in self.messages.values())

    def _batch(self, params: Params, one: Callable[[Params], Any]) -> Any:
        """Carry out the entries, each for itself. What AWS leaves out, the answer tells of."""
        entries = params["Entries"]
        if not entries:
            raise Refusal("AWS.SimpleQueueService.EmptyBatchRequest")
        if len(entries) > MOST_ENTRIES:
            raise Refusal("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise Refusal("AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
        done, failed = [], []
        for entry in entries:
            if self.nondeterminism.leaves_out():
                failed.append({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False})
                continue
            try:
                done.append({"Id": entry["Id"], **one(entry)})
            except Refusal as refusal:
                code = refusal.response["Error"]["Code"]
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": True})
        return {**({"Successful": done} if done else {}), **({"Failed": failed} if failed else {})}


def _as_received(message: Message) -> dict[str, Any]:
    return {
        "MessageId": str(message.number),
        "ReceiptHandle": f"{message.number}-{message.receive_count}",
        "Body": message.body,
        "Attributes": {"ApproximateReceiveCount": str(message.receive_count), "SentTimestamp": str(message.sent_at)},
        **({"MessageAttributes": message.attributes} if message.attributes else {}),
    }


def _number(params: Params) -> int:
    return int(params["ReceiptHandle"].split("-")[0])


class Queues:
    """The queues by their URLs, made when they are first named."""

    def __init__(self, chance: random.Random | None = None, nondeterminism: Nondeterminism | None = None) -> None:
        self._choice = chance.randrange if chance else lambda _: 0
        self._nondeterminism = nondeterminism or Nondeterminism()
        self.by_url: dict[str, Queue] = {}

    def of(self, params: Params) -> Queue:
        """The queue that a request names."""
        url: str = params["QueueUrl"]
        if url not in self.by_url:
            self.by_url[url] = Queue(self._choice, self._nondeterminism)
        return self.by_url[url]

    def answer(self, operation: str, params: Params, now: int) -> Any:
        """What SQS answers. Raises Refusal."""
        return _OPERATIONS[operation](self.of(params), params, now)


_OPERATIONS: Mapping[str, Callable[[Queue, Params, int], Any]] = {
    "SendMessage": Queue.send,
    "SendMessageBatch": Queue.send_batch,
    "ReceiveMessage": Queue.receive,
    "DeleteMessage": Queue.delete,
    "DeleteMessageBatch": Queue.delete_batch,
    "ChangeMessageVisibility": Queue.change_visibility,
    "GetQueueAttributes": Queue.attributes,
}
