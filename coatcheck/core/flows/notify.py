"""Messages that follow a write. One may be lost: the sweeper finds the remaining work by the row's `due_at`."""

from __future__ import annotations

import logging

from coatcheck.core.aws.call import AwsError, Call
from coatcheck.core.aws.enqueue import enqueue_notification
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.job import Job
from coatcheck.core.settings import Settings
from coatcheck.core.webhooks import pending_events

log: logging.Logger = logging.getLogger(__name__)


def send_or_log(message: Call[None], about: str) -> Flow[None]:
    """Send a message. If that fails, log it as a warning: what was written before stands."""
    try:
        yield from send(message)
    except AwsError as error:
        log.warning("%s: no message was sent, the sweeper will send one: %s", about, error)


def notify_deliverer(settings: Settings, job: Job) -> Flow[None]:
    """Send the deliverer a message if an event of the job is pending. If that fails, log it as a warning."""
    if pending_events(job):
        yield from send_or_log(enqueue_notification(settings, job), job.id)
