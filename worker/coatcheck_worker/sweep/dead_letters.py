"""The sweeper's scan of the dead-letter queues: a dead-lettered message is recorded in its job's history."""

from __future__ import annotations

import logging
from collections import Counter

from coatcheck.core import errors
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.sqs import ReceivedMessage, delete, receive
from coatcheck.core.job import JobError
from coatcheck.core.messages import BadMessage, JobMessage, NewerMessage
from coatcheck_worker.dependencies import Dependencies

log = logging.getLogger(__name__)

MAX_BATCHES = 10
"""Batches of ten messages that one sweep receives from a queue."""

VISIBILITY_TIMEOUT = 1
"""Seconds that a received message is hidden from others, such as `coatcheck dlq`, which waits longer than that."""


def scan(dependencies: Dependencies, *, until: int) -> Counter[str]:
    """Process dead-lettered messages, until the time `until` at the latest. Counts what was done, by name."""
    done: Counter[str] = Counter()
    # messages of lane `webhooks` belong to no waiting job, and stay for whoever repairs the deliverer
    for queue_url in (dependencies.settings.dead_letters[lane] for lane in dependencies.settings.lanes):
        for _ in range(MAX_BATCHES):
            batch = (
                dependencies.transport.send(receive(queue_url, wait=0, limit=10, visibility_timeout=VISIBILITY_TIMEOUT))
                if dependencies.clock() < until
                else ()
            )
            if not batch:
                break
            done.update(_process_letter_safely(dependencies, received) for received in batch)
    return done


def _process_letter_safely(dependencies: Dependencies, received: ReceivedMessage) -> str:
    try:
        return _process_letter(dependencies, received)
    except (BadMessage, NewerMessage, NewerRow):
        return "left in the dead letters"
    except AwsError as error:
        log.warning("dead letter %s: %s", received.message_id, error)
        return "failed"


def _process_letter(dependencies: Dependencies, received: ReceivedMessage) -> str:
    message = JobMessage.parse(received.body)
    table = dependencies.settings.table
    job = dependencies.transport.send(job_items.get_job(table, JobKey(message.tenant, message.job)))
    if job is not None and job.done:
        dependencies.transport.send(delete(received))
        return "removed from the dead letters"
    if job is not None and job_updates.should_record_dead_letter(job, received.message_id):
        error = JobError(errors.DEAD_LETTERED.code, received.reason or "its message was received too often")
        log.error("a message of %s is in the dead-letter queue: %s", job.id, error.detail)
        dependencies.transport.send(
            job_updates.record_dead_letter(table, job, received.message_id, error, now=dependencies.clock())
        )
        return "told of its dead letter"
    return "left in the dead letters"
