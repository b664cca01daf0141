"""What a change of a job sends after itself when somebody is to be told of it."""

from __future__ import annotations

import logging

from coatcheck.calls import AwsError
from coatcheck.deployment import WEBHOOKS
from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import send_job
from coatcheck.record import Job
from coatcheck.webhooks import Delivery, unannounced
from worker.tools import Tools

log = logging.getLogger(__name__)


def wake_deliverer(tools: Tools, job: Job) -> None:
    """Send a message if an event of the job is still to be told of. What is lost here, the sweeper finds by the row."""
    if not unannounced(job):
        return
    try:
        send_wake_up(tools, job)
    except AwsError as error:
        log.warning("%s: nobody was woken to tell of it, the sweeper will: %s", job.id, error)


def send_wake_up(tools: Tools, job: Job) -> None:
    """Send the message. Raises AwsError."""
    message = JobMessage(tenant=job.tenant, job=job.id)
    tools.aws.send(send_job(tools.deployment.queues[WEBHOOKS], message))


def message_of(delivery: Delivery) -> DeliveryMessage:
    """The message that wakes a deliverer for a delivery."""
    key = delivery.key
    return DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint=delivery.endpoint)
