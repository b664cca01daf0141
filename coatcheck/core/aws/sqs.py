"""Every SQS request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.messages import DeliveryMessage, JobMessage

MAX_VISIBILITY = 12 * 3600
"""Seconds: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html"""

MAX_REASON = 256
_REASON = "reason"


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A received message: `receipt_handle` is used to delete it, `receive_count` is how often it was received so far.

    `sent_at` is in milliseconds since the epoch; `reason` says why it was moved to the dead-letter queue, if it was.
    """

    queue_url: str
    receipt_handle: str
    body: str
    message_id: str = ""
    receive_count: int = 1
    sent_at: int = 0
    reason: str | None = None


def send_job(queue_url: str, message: JobMessage, *, delay: int = 0) -> Call[None]:
    """Send the message of a job, delayed by `delay` seconds (at most 900)."""
    return Call("sqs", "SendMessage", {"QueueUrl": queue_url, **_message_params(message, delay)}, read=_ignore)


MAX_BATCH = 10
"""Messages of one SendMessageBatch, DeleteMessageBatch or ReceiveMessage."""


def send_jobs(queue_url: str, messages: Sequence[tuple[JobMessage, int]]) -> Call[frozenset[int]]:
    """Send the messages of up to 10 jobs, each with its delay in seconds. Returns the positions of those sent."""
    entries = [
        {"Id": str(position), **_message_params(message, delay)} for position, (message, delay) in enumerate(messages)
    ]

    def read(response: AwsResponse) -> frozenset[int]:
        return frozenset(int(entry["Id"]) for entry in response.get("Successful", []))

    return Call("sqs", "SendMessageBatch", {"QueueUrl": queue_url, "Entries": entries}, read)


def depth(queue_url: str) -> Call[int]:
    """The approximate number of messages in a queue that can be received now."""
    wanted = "ApproximateNumberOfMessages"
    params = {"QueueUrl": queue_url, "AttributeNames": [wanted]}
    return Call("sqs", "GetQueueAttributes", params, read=lambda response: int(response["Attributes"][wanted]))


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """About how many messages of a queue can be received now, are being worked on, and are delayed."""

    waiting: int
    in_flight: int
    delayed: int


def queue_counts(queue_url: str) -> Call[QueueCounts]:
    """About how many messages a queue has: SQS counts them within a minute."""
    names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
    params = {"QueueUrl": queue_url, "AttributeNames": names}
    return Call(
        "sqs",
        "GetQueueAttributes",
        params,
        read=lambda response: QueueCounts(*(int(response["Attributes"][name]) for name in names)),
    )


def send_delivery(queue_url: str, message: DeliveryMessage, *, delay: int = 0) -> Call[None]:
    """Send the message of one delivery, delayed by `delay` seconds (at most 900)."""
    return Call("sqs", "SendMessage", {"QueueUrl": queue_url, **_message_params(message, delay)}, read=_ignore)


def _message_params(message: JobMessage | DeliveryMessage, delay: int) -> dict[str, Any]:
    """The parameters for sending a message.

    The tenant is the message group, which SQS uses to share a standard queue fairly between tenants:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    return {
        "MessageBody": message.model_dump_json(),
        "MessageGroupId": message.tenant,
        **({"DelaySeconds": delay} if delay else {}),
    }


def receive(
    queue_url: str, *, wait: int, limit: int = 1, visibility_timeout: int | None = None
) -> Call[Sequence[ReceivedMessage]]:
    """Up to `limit` messages (at most 10), waiting up to `wait` seconds (at most 20) for the first.

    Nobody else receives them for `visibility_timeout` seconds, or the queue's own visibility timeout.
    """
    params = {
        "QueueUrl": queue_url,
        "MaxNumberOfMessages": limit,
        "WaitTimeSeconds": wait,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
        "MessageAttributeNames": [_REASON],
        **({} if visibility_timeout is None else {"VisibilityTimeout": visibility_timeout}),
    }
    return Call("sqs", "ReceiveMessage", params, lambda a: [_received(queue_url, m) for m in a.get("Messages", [])])


def _received(queue_url: str, message: Mapping[str, Any]) -> ReceivedMessage:
    attributes = message["Attributes"]
    reason = message.get("MessageAttributes", {}).get(_REASON, {}).get("StringValue")
    return ReceivedMessage(
        queue_url,
        message["ReceiptHandle"],
        message["Body"],
        message["MessageId"],
        int(attributes["ApproximateReceiveCount"]),
        int(attributes["SentTimestamp"]),
        reason,
    )


def send_dead_letter(dead_letters_url: str, body: str, reason: str) -> Call[None]:
    """Send a copy of a message that is of no use to the dead letters, with the reason."""
    # SQS takes neither control characters nor an empty value
    shown = "".join(c for c in reason if c.isprintable())[:MAX_REASON] or "unknown"
    params = {
        "QueueUrl": dead_letters_url,
        "MessageBody": body,
        "MessageAttributes": {_REASON: {"DataType": "String", "StringValue": shown}},
    }
    return Call("sqs", "SendMessage", params, read=_ignore)


def delete(message: ReceivedMessage) -> Call[None]:
    """The message has done its work. Deleting what is already gone is no error."""
    params = {"QueueUrl": message.queue_url, "ReceiptHandle": message.receipt_handle}
    gone = dict.fromkeys(("ReceiptHandleIsInvalid", "InvalidParameterValue"), _ignore)
    return Call("sqs", "DeleteMessage", params, read=_ignore, expected_errors=gone)


def delete_batch(messages: Sequence[ReceivedMessage]) -> Call[frozenset[int]]:
    """Up to 10 messages of one queue have done their work. Returns the positions of those that were not deleted."""
    entries = [{"Id": str(position), "ReceiptHandle": one.receipt_handle} for position, one in enumerate(messages)]

    def read(response: AwsResponse) -> frozenset[int]:
        return frozenset(int(entry["Id"]) for entry in response.get("Failed", []))

    return Call("sqs", "DeleteMessageBatch", {"QueueUrl": messages[0].queue_url, "Entries": entries}, read)


def change_visibility(message: ReceivedMessage, seconds: int) -> Call[None]:
    """Let the message be received again in `seconds` (0 to 43,200). One that is gone is no error."""
    params = {
        "QueueUrl": message.queue_url,
        "ReceiptHandle": message.receipt_handle,
        "VisibilityTimeout": min(max(seconds, 0), MAX_VISIBILITY),
    }
    gone = dict.fromkeys(("ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"), _ignore)
    return Call("sqs", "ChangeMessageVisibility", params, read=_ignore, expected_errors=gone)


def _ignore(_: AwsResponse) -> None:
    return None
