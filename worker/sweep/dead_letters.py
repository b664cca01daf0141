"""The sweeper's look at the dead-letter queues: a job whose message was put aside is told so, in its history."""

from __future__ import annotations

import logging
from collections import Counter

from coatcheck import errors
from coatcheck.calls import AwsError
from coatcheck.messages import BadMessage, JobMessage, NewerMessage
from coatcheck.queues import Received, delete, receive
from coatcheck.record import JobError
from coatcheck.table import items, notes
from coatcheck.table.keys import JobKey
from coatcheck.table.unknown import NewerRow
from worker.tools import Tools

log = logging.getLogger(__name__)

MOST_BATCHES = 10
"""Batches of ten messages of a queue that one sweep looks at."""

HOLD = 1
"""Seconds that a message looked at is hidden from others: from `coatcheck dlq`, which waits longer than that."""


def look_through(tools: Tools, *, until: int) -> Counter[str]:
    """Look at messages that were put aside, until the time `until` at the latest; counts what was done, by its name."""
    done: Counter[str] = Counter()
    # those of the webhooks are of no job that waits, and stay for whoever mends the deliverer
    for queue_url in (tools.deployment.dead_letters[lane] for lane in tools.deployment.lanes):
        for _ in range(MOST_BATCHES):
            batch = tools.aws.send(receive(queue_url, wait=0, limit=10, hold=HOLD)) if tools.clock() < until else ()
            if not batch:
                break
            done.update(_consider_safely(tools, received) for received in batch)
    return done


def _consider_safely(tools: Tools, received: Received) -> str:
    try:
        return _consider(tools, received)
    except (BadMessage, NewerMessage, NewerRow):
        return "left in the dead letters"
    except AwsError as error:
        log.warning("dead letter %s: %s", received.message_id, error)
        return "failed"


def _consider(tools: Tools, received: Received) -> str:
    message = JobMessage.parse(received.body)
    table = tools.deployment.table
    job = tools.aws.send(items.get_job(table, JobKey(message.tenant, message.job)))
    if job is not None and job.done:
        tools.aws.send(delete(received))
        return "removed from the dead letters"
    if job is not None and notes.may_tell_of_dead_letter(job, received.message_id):
        error = JobError(errors.DEAD_LETTERED.code, received.reason or "its message was received again and again")
        log.error("a message of %s was put aside: %s", job.id, error.detail)
        tools.aws.send(notes.tell_of_dead_letter(table, job, received.message_id, error, now=tools.clock()))
        return "told of its dead letter"
    return "left in the dead letters"
