"""Every SQS request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coatcheck.calls import Answer, Call
from coatcheck.messages import JobMessage

MAX_VISIBILITY = 12 * 3600
"""Seconds: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html"""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it was received: `handle` is what it is deleted by."""

    queue_url: str
    handle: str
    body: str
    message_id: str = ""


def send_job(queue_url: str, message: JobMessage, *, delay: int = 0) -> Call[None]:
    """Wake a worker for a job, in `delay` seconds (at most 900).

    The tenant is the message group, by which SQS shares a standard queue fairly between tenants:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    params = {
        "QueueUrl": queue_url,
        "MessageBody": message.model_dump_json(),
        "MessageGroupId": message.tenant,
        **({"DelaySeconds": delay} if delay else {}),
    }
    return Call("sqs", "SendMessage", params, read=lambda _: None)


def receive(queue_url: str, *, wait: int, limit: int = 1) -> Call[Sequence[Received]]:
    """Up to `limit` messages (at most 10), waiting up to `wait` seconds (at most 20) for the first."""

    def read(answer: Answer) -> list[Received]:
        return [Received(queue_url, m["ReceiptHandle"], m["Body"], m["MessageId"]) for m in answer.get("Messages", [])]

    params = {"QueueUrl": queue_url, "MaxNumberOfMessages": limit, "WaitTimeSeconds": wait}
    return Call("sqs", "ReceiveMessage", params, read)


def delete(message: Received) -> Call[None]:
    """The message has done its work. Deleting what is already gone is no error."""
    params = {"QueueUrl": message.queue_url, "ReceiptHandle": message.handle}
    gone = dict.fromkeys(("ReceiptHandleIsInvalid", "InvalidParameterValue"), _ignore)
    return Call("sqs", "DeleteMessage", params, read=_ignore, refusals=gone)


def show_again_in(message: Received, seconds: int) -> Call[None]:
    """Let the message be received again in `seconds` (0 to 43,200). One that is gone is no error."""
    params = {
        "QueueUrl": message.queue_url,
        "ReceiptHandle": message.handle,
        "VisibilityTimeout": min(max(seconds, 0), MAX_VISIBILITY),
    }
    gone = dict.fromkeys(("ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"), _ignore)
    return Call("sqs", "ChangeMessageVisibility", params, read=_ignore, refusals=gone)


def _ignore(_: Answer) -> None:
    return None
