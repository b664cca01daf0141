"""What a change of a job sends after itself when somebody is to be told of it."""

from __future__ import annotations

import logging

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.job import Job
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import Delivery, pending_events
from coatcheck_worker.dependencies import Dependencies

log = logging.getLogger(__name__)


def notify_deliverer(dependencies: Dependencies, job: Job) -> None:
    """Send a message if an event of the job is still to be told of. What is lost here, the sweeper finds by the row."""
    if not pending_events(job):
        return
    try:
        send_notification(dependencies, job)
    except AwsError as error:
        log.warning("%s: nobody was woken to tell of it, the sweeper will: %s", job.id, error)


def send_notification(dependencies: Dependencies, job: Job) -> None:
    """Send the message. Raises AwsError."""
    message = JobMessage(tenant=job.tenant, job=job.id)
    dependencies.transport.send(send_job(dependencies.settings.queues[WEBHOOKS], message))


def delivery_message(delivery: Delivery) -> DeliveryMessage:
    """The message that wakes a deliverer for a delivery."""
    key = delivery.key
    return DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint=delivery.endpoint)
