"""One message of lane `webhooks`: about a job with events to notify, or about a delivery to make."""

from __future__ import annotations

from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.messages import BadMessage, DeliveryMessage, NewerMessage, parse_webhook_message
from coatcheck_worker import message_consumer
from coatcheck_worker.dependencies import Dependencies, Disposition, Redeliver
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from coatcheck_worker.webhooks.deliver import deliver
from coatcheck_worker.webhooks.delivery_context import DeliveryContext

MAX_REDELIVERY_DELAY = 60
"""Seconds."""


def process_message(delivery_context: DeliveryContext, received: ReceivedMessage) -> bool:
    """Do what the message asks for. Returns True if it is done and is to be deleted. Raises AwsError."""

    def work() -> Disposition:
        message = parse_webhook_message(received.body)
        if isinstance(message, DeliveryMessage):
            return deliver(delivery_context, message)
        return create_deliveries(delivery_context.dependencies, message)

    return message_consumer.process_message(delivery_context.dependencies, received, work)


def redeliver_later(dependencies: Dependencies, received: ReceivedMessage) -> bool:
    """Have the message delivered again when its endpoint may be less busy: later each time.

    Returns the same as `process_message`.
    """
    max_delay = min(2**received.receive_count, MAX_REDELIVERY_DELAY)
    return message_consumer.apply_disposition(
        dependencies, received, Redeliver(max(1, round(max_delay * (0.5 + dependencies.roll() / 2))))
    )


def delivery_in(received: ReceivedMessage) -> DeliveryMessage | None:
    """The delivery that a message asks for; None for a message that makes no request."""
    try:
        message = parse_webhook_message(received.body)
    except (BadMessage, NewerMessage):
        return None
    return message if isinstance(message, DeliveryMessage) else None
