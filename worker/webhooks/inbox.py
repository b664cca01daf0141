"""One message of the lane of webhooks: a job that is to be told of, or a delivery that is to be made."""

from __future__ import annotations

from coatcheck.messages import BadMessage, DeliveryMessage, JobMessage, NewerMessage
from coatcheck.queues import Received
from worker import inbox
from worker.tools import Again, Tools, Verdict
from worker.webhooks.announce import announce
from worker.webhooks.deliver import deliver
from worker.webhooks.desk import Desk

LONGEST_WAIT_FOR_A_TURN = 60
"""Seconds."""


def attend(desk: Desk, received: Received) -> bool:
    """Do what the message asks for; whether it has done its work, and is to be deleted. Raises AwsError."""

    def work() -> Verdict:
        message = parse(received.body)
        if isinstance(message, DeliveryMessage):
            return deliver(desk, message)
        return announce(desk.tools, message)

    return inbox.attend(desk.tools, received, work)


def wait_for_a_turn(tools: Tools, received: Received) -> bool:
    """Let the message come again when its endpoint may have less to do: ever later. Answers as `attend` does."""
    longest = min(2**received.receives, LONGEST_WAIT_FOR_A_TURN)
    return inbox.conclude(tools, received, Again(max(1, round(longest * (0.5 + tools.roll() / 2)))))


def parse(body: str) -> DeliveryMessage | JobMessage:
    """The message in a body of the lane of webhooks. Raises BadMessage and NewerMessage."""
    try:
        return DeliveryMessage.parse(body)
    except BadMessage:
        return JobMessage.parse(body)


def delivery_in(received: Received) -> DeliveryMessage | None:
    """The delivery that a message asks for; None for a message that calls nobody."""
    try:
        message = parse(received.body)
    except (BadMessage, NewerMessage):
        return None
    return message if isinstance(message, DeliveryMessage) else None
