"""Messages for the queues of a deployment. Each only names what to process; the row holds everything else."""

from __future__ import annotations

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.sqs import send_delivery, send_job
from coatcheck.core.job import Job
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck.core.webhooks import Delivery


def enqueue_job(settings: Settings, job: Job, *, delay: int = 0) -> Call[None]:
    """Ask a worker of the job's lane to run it, in `delay` seconds (at most 900)."""
    return send_job(settings.queues[job.lane], job_message(job), delay=delay)


def enqueue_notification(settings: Settings, job: Job) -> Call[None]:
    """Ask a deliverer to make the deliveries of the job's pending events."""
    return send_job(settings.queues[WEBHOOKS], job_message(job))


def enqueue_delivery(settings: Settings, delivery: Delivery, *, delay: int = 0) -> Call[None]:
    """Ask a deliverer to make an attempt of the delivery, in `delay` seconds (at most 900)."""
    return send_delivery(settings.queues[WEBHOOKS], delivery_message(delivery), delay=delay)


def job_message(job: Job) -> JobMessage:
    """The message that names a job."""
    return JobMessage(tenant=job.tenant, job=job.id)


def delivery_message(delivery: Delivery) -> DeliveryMessage:
    """The message that names a delivery."""
    key = delivery.key
    return DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint=delivery.endpoint)
