"""A standard SQS queue in memory: delays, visibility, and doubles where they are asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coatcheck.clock import SECOND
from tests.simulation.dynamodb import Params, Refusal

VISIBILITY = 5400
"""Seconds: what the template sets for the queues of jobs."""

MAX_RECEIVES = 100
"""What the template sets; a message received more often goes to the dead-letter queue."""


@dataclass(slots=True)
class Message:
    """One message that is not deleted."""

    number: int
    body: str
    visible_at: int
    sent_at: int
    attributes: Mapping[str, Any]
    receives: int = 0


@dataclass
class Queue:
    """One queue. `choice` picks among the messages that can be received: a standard queue keeps no order.

    `doubled` says whether a message that is received stays visible, as one stored twice does.
    """

    choice: Callable[[int], int] = lambda _: 0
    doubled: Callable[[], bool] = lambda: False
    messages: dict[int, Message] = field(default_factory=dict)
    dead: list[Message] = field(default_factory=list)
    _count: int = 0

    def next_visible(self) -> int | None:
        """When the next message can be received, if there is any."""
        return min((message.visible_at for message in self.messages.values()), default=None)

    def send(self, params: Params, now: int) -> Any:
        """SendMessage."""
        self._count += 1
        visible_at = now + params.get("DelaySeconds", 0) * SECOND
        attributes = params.get("MessageAttributes", {})
        self.messages[self._count] = Message(self._count, params["MessageBody"], visible_at, now, attributes)
        return {"MessageId": str(self._count)}

    def receive(self, params: Params, now: int) -> Any:
        """ReceiveMessage; waiting is the caller's."""
        taken: list[Message] = []
        visible = [message for message in self.messages.values() if message.visible_at <= now]
        while visible and len(taken) < params.get("MaxNumberOfMessages", 1):
            message = visible.pop(self.choice(len(visible)))
            message.receives += 1
            if message.receives > MAX_RECEIVES:
                self.dead.append(self.messages.pop(message.number))
                continue
            if not self.doubled():
                message.visible_at = now + params.get("VisibilityTimeout", VISIBILITY) * SECOND
            taken.append(message)
        return {"Messages": [_as_received(message) for message in taken]} if taken else {}

    def delete(self, params: Params, _now: int) -> Any:
        """DeleteMessage, by the handle of any receive: SQS promises no more, and no less, of old handles."""
        self.messages.pop(_number(params), None)
        return {}

    def change_visibility(self, params: Params, now: int) -> Any:
        """ChangeMessageVisibility."""
        message = self.messages.get(_number(params))
        if message is None:
            raise Refusal("InvalidParameterValue")
        if message.visible_at <= now:
            raise Refusal("MessageNotInflight")
        message.visible_at = now + params["VisibilityTimeout"] * SECOND
        return {}


def _as_received(message: Message) -> dict[str, Any]:
    return {
        "MessageId": str(message.number),
        "ReceiptHandle": f"{message.number}-{message.receives}",
        "Body": message.body,
        "Attributes": {"ApproximateReceiveCount": str(message.receives), "SentTimestamp": str(message.sent_at)},
        **({"MessageAttributes": message.attributes} if message.attributes else {}),
    }


def _number(params: Params) -> int:
    return int(params["ReceiptHandle"].split("-")[0])


class Queues:
    """The queues by their URLs, made when they are first named."""

    def __init__(self, chance: random.Random | None = None, doubled: Callable[[], bool] = lambda: False) -> None:
        self._choice = chance.randrange if chance else lambda _: 0
        self._doubled = doubled
        self.by_url: dict[str, Queue] = {}

    def of(self, params: Params) -> Queue:
        """The queue that a request names."""
        url: str = params["QueueUrl"]
        if url not in self.by_url:
            self.by_url[url] = Queue(self._choice, self._doubled)
        return self.by_url[url]

    def answer(self, operation: str, params: Params, now: int) -> Any:
        """What SQS answers. Raises Refusal."""
        return _OPERATIONS[operation](self.of(params), params, now)


_OPERATIONS: Mapping[str, Callable[[Queue, Params, int], Any]] = {
    "SendMessage": Queue.send,
    "ReceiveMessage": Queue.receive,
    "DeleteMessage": Queue.delete,
    "ChangeMessageVisibility": Queue.change_visibility,
}
