"""What follows a write that moved a job: its events are told, and the slot that it gave back goes to the next."""

from __future__ import annotations

from coatcheck.core.aws.flow import Flow
from coatcheck.core.flows.notify import notify_deliverer
from coatcheck.core.flows.slots import hand_on_slot
from coatcheck.core.job import Job
from coatcheck.core.settings import Settings


def follow_up(settings: Settings, before: Job, after: Job, *, now: int) -> Flow[None]:
    """Do it for a job that was moved from `before` to `after`. What AWS does not do now, the sweeper does later."""
    yield from notify_deliverer(settings, after)
    yield from hand_on_slot(settings, before, now=now)
