"""One message of lane `webhooks`: about a job with events to notify, or about a delivery to make."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeAlias

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.enqueue import delivery_message, enqueue_delivery
from coatcheck.core.aws.sqs import ReceivedMessage
from coatcheck.core.log import log_context
from coatcheck.core.messages import BadMessage, DeliveryMessage, NewerMessage, parse_webhook_message
from coatcheck.core.webhooks import Delivery
from coatcheck_worker import message_consumer
from coatcheck_worker.dependencies import Dependencies, Disposition, Redeliver
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from coatcheck_worker.webhooks.deliver import deliver, deliver_as_read
from coatcheck_worker.webhooks.delivery_context import DeliveryContext

log = logging.getLogger(__name__)

MAX_REDELIVERY_DELAY = 60
"""Seconds."""

Admission: TypeAlias = Callable[[DeliveryMessage], AbstractContextManager[bool]]
"""Whether a delivery may be attempted in this thread, now; the attempt is made within the context."""


def process_message(
    delivery_context: DeliveryContext,
    received: ReceivedMessage,
    admit: Admission = lambda _: nullcontext(enter_result=False),
) -> bool:
    """Do what the message asks for. Returns True if it is done and is to be deleted. Raises AwsError.

    A delivery that is created is attempted at once where `admit` allows it; others get a message.
    """

    def work() -> Disposition:
        message = parse_webhook_message(received.body)
        if isinstance(message, DeliveryMessage):
            return deliver(delivery_context, message)
        attempt = partial(_attempt_at_once, delivery_context, admit)
        return create_deliveries(delivery_context.dependencies, message, attempt=attempt)

    return message_consumer.process_message(delivery_context.dependencies, received, work)


def _attempt_at_once(delivery_context: DeliveryContext, admit: Admission, delivery: Delivery) -> bool:
    """Make the first attempt of a new delivery, if `admit` allows it; returns whether it did. Raises AwsError.

    What is to be done later gets a message, as if this one attempt had had one.
    """
    dependencies, message = delivery_context.dependencies, delivery_message(delivery)
    with admit(message) as admitted, log_context(of=message.of, delivery=message.delivery):
        if not admitted:
            return False
        try:
            disposition = deliver_as_read(delivery_context, delivery)
        except AwsError as error:
            log.warning("%s; the delivery gets a message", error)
            disposition = Redeliver(message_consumer.UNREACHABLE_DELAY)
    if isinstance(disposition, Redeliver):
        dependencies.transport.send(enqueue_delivery(dependencies.settings, delivery, delay=disposition.seconds))
    return True


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
