"""One message of a queue: whatever it holds and whatever goes wrong with it, it is not lost and holds up no other."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from coatcheck.calls import AwsError
from coatcheck.log import about
from coatcheck.messages import BadMessage, JobMessage, NewerMessage, subject
from coatcheck.queues import Received, delete, put_aside, show_again_in
from coatcheck.table.unknown import NewerRow
from worker.run import Running, run_job
from worker.tools import Again, Aside, Done, Tools, Verdict

log = logging.getLogger(__name__)

NEWER_AGAIN = 60
"""Seconds until a message that only newer workers understand is received again."""

UNREACHED_AGAIN = 10
"""Seconds until a message is received again after AWS was out of reach."""

FAILED_AGAIN = 60
MOST_FAILURES = 10
"""Receives after which a message that this worker fails on is put aside."""

WORN_OUT = 90
"""Receives after which a message is deleted instead of being shown again; the sweeper sends a fresh one.

The queues move a message to the dead letters by themselves after 100. A long job's legs and retries ride one message,
and it shall not end there.
"""


def handle(tools: Tools, received: Received, *, deadline: int | None = None, running: Running = lambda _: None) -> bool:
    """Do what the message asks for; whether it has done its work, and is to be deleted.

    `deadline` and `running` are as in `run_job`. Raises AwsError when AWS is out of reach: nothing is lost then, the
    sweeper looks after the job.
    """

    def last_words(verdict: Verdict) -> None:
        if conclude(tools, received, verdict):
            tools.aws.send(delete(received))

    def run() -> Verdict:
        message = JobMessage.parse(received.body)
        return run_job(tools, message, deadline=deadline, last_words=last_words, running=running)

    return attend(tools, received, run)


def attend(tools: Tools, received: Received, work: Callable[[], Verdict]) -> bool:
    """Do the `work` of a message; whether it has done it, and is to be deleted. Raises AwsError, as `handle` does."""
    with about_message(tools, received):
        return _attend(tools, received, work)


def about_message(tools: Tools, received: Received) -> AbstractContextManager[None]:
    """The lines that are written within this tell the message's lane, and which job or delivery it is about."""
    return about(lane=tools.deployment.lane_of(received.queue_url), **subject(received.body))


def _attend(tools: Tools, received: Received, work: Callable[[], Verdict]) -> bool:
    try:
        verdict = work()
    except BadMessage as error:
        verdict = Aside(f"cannot be read: {error}")
    except (NewerMessage, NewerRow) as error:
        log.warning("message %s is left for newer workers: %s", received.message_id, error)
        verdict = Again(NEWER_AGAIN)
    except AwsError:
        # most often it was the claim: not to wait for the queue's own visibility timeout, or for the sweeper
        with contextlib.suppress(AwsError):
            tools.aws.send(show_again_in(received, UNREACHED_AGAIN))
        raise
    except Exception:
        log.exception("message %s: the worker failed on it", received.message_id)
        verdict = Aside("the worker failed on it; its log says how") if _hopeless(received) else Again(FAILED_AGAIN)
    return conclude(tools, received, verdict)


def _hopeless(received: Received) -> bool:
    return received.receives >= MOST_FAILURES


def conclude(tools: Tools, received: Received, verdict: Verdict) -> bool:
    """Do with the message as the verdict says; whether it is to be deleted. Raises AwsError."""
    match verdict:
        case Again(seconds) if received.receives < WORN_OUT:
            tools.aws.send(show_again_in(received, seconds))
            return False
        case Aside(reason):
            log.error("message %s is put aside: %s", received.message_id, reason)
            tools.aws.send(put_aside(tools.deployment.dead_letters_beside(received.queue_url), received.body, reason))
        case Again() | Done():
            pass
    return True
