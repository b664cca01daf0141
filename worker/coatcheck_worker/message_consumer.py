"""Process one message of a queue. Whatever it holds and whatever fails, it is not lost and delays no other."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.sqs import ReceivedMessage, change_visibility, send_dead_letter
from coatcheck.core.log import log_context
from coatcheck.core.messages import BadMessage, NewerMessage, subject
from coatcheck_worker.dependencies import Ack, DeadLetter, Dependencies, Disposition, Redeliver

log = logging.getLogger(__name__)

NEWER_MESSAGE_DELAY = 60
"""Seconds until a message that only newer workers understand is received again."""

UNREACHABLE_DELAY = 10
"""Seconds until a message is received again after AWS was unavailable."""

FAILURE_DELAY = 60
MAX_FAILURES = 10
"""Receives after which a message that this worker fails on is moved to the dead-letter queue."""

MAX_RECEIVES = 90
"""Receives after which a message is deleted instead of becoming visible again; the sweeper sends a new one.

SQS itself moves a message to the dead-letter queue after 100. All legs and retries of a long job may use one message,
which must not end there.
"""


def process_message(dependencies: Dependencies, received: ReceivedMessage, work: Callable[[], Disposition]) -> bool:
    """Do the `work` of a message. Returns True if the message is done and is to be deleted.

    Raises AwsError when AWS is unavailable: nothing is lost then, the sweeper recovers what the message was about.
    """
    with log_context_of(dependencies, received):
        return _process_message(dependencies, received, work)


def log_context_of(dependencies: Dependencies, received: ReceivedMessage) -> AbstractContextManager[None]:
    """Add the message's lane, and its job or delivery, to the log lines written within this context."""
    return log_context(lane=dependencies.settings.lane_of(received.queue_url), **subject(received.body))


def _process_message(dependencies: Dependencies, received: ReceivedMessage, work: Callable[[], Disposition]) -> bool:
    try:
        disposition = work()
    except BadMessage as error:
        disposition = DeadLetter(f"cannot be read: {error}")
    except (NewerMessage, NewerRow) as error:
        log.warning("message %s is left for newer workers: %s", received.message_id, error)
        disposition = Redeliver(NEWER_MESSAGE_DELAY)
    except AwsError:
        # most often the claim failed: do not wait for the queue's own visibility timeout, or for the sweeper
        with contextlib.suppress(AwsError):
            dependencies.transport.send(change_visibility(received, UNREACHABLE_DELAY))
        raise
    except Exception:
        log.exception("message %s: the worker failed on it", received.message_id)
        disposition = (
            DeadLetter("the worker failed on it; its log says how")
            if _failed_too_often(received)
            else Redeliver(FAILURE_DELAY)
        )
    return apply_disposition(dependencies, received, disposition)


def _failed_too_often(received: ReceivedMessage) -> bool:
    return received.receive_count >= MAX_FAILURES


def apply_disposition(dependencies: Dependencies, received: ReceivedMessage, disposition: Disposition) -> bool:
    """Apply the disposition to the message. Returns True if it is to be deleted. Raises AwsError."""
    match disposition:
        case Redeliver(seconds) if received.receive_count < MAX_RECEIVES:
            dependencies.transport.send(change_visibility(received, seconds))
            return False
        case DeadLetter(reason):
            log.error("message %s goes to the dead-letter queue: %s", received.message_id, reason)
            dependencies.transport.send(
                send_dead_letter(dependencies.settings.dead_letter_queue_for(received.queue_url), received.body, reason)
            )
        case Redeliver() | Ack():
            pass
    return True
