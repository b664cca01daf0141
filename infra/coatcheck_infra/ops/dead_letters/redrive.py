"""Bringing dead letters back: which are sent again, which deleted, which left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from coatcheck.core.aws.sqs import send_delivery, send_job
from coatcheck.core.messages import DeliveryMessage, JobMessage
from coatcheck_infra.ops.dead_letters.queue_reader import (
    VISIBILITY_TIMEOUT,
    DeadLetterKind,
    DeadLetterMessage,
    QueueReader,
    Timing,
    classify,
    read_queue,
)
from coatcheck_infra.ops.dead_letters.target_deployment import TargetDeployment


@dataclass(frozen=True, slots=True)
class RedriveOptions:
    """What is asked for. `rate` is in messages a second; `limit` counts what is sent back or deleted.

    `jobs`: only messages of these; none for all.
    """

    rate: float = 10
    limit: int | None = None
    jobs: frozenset[str] = frozenset()
    drop_unreadable: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What is done with a dead letter, and how the summary names it with the count."""

    phrase: str
    sends: bool = False
    deletes: bool = False


REDRIVEN = Action("redriven {}", sends=True, deletes=True)

# a wake-up does no harm, so a job in a row that only newer workers read is woken for them
DEFAULT_ACTIONS: Mapping[DeadLetterKind, Action] = MappingProxyType(
    {
        DeadLetterKind.UNFINISHED: REDRIVEN,
        DeadLetterKind.NEWER_ROW: REDRIVEN,
        DeadLetterKind.FINISHED: Action("dropped {} that are finished", deletes=True),
        DeadLetterKind.UNREADABLE: Action("left {} that cannot be read"),
        DeadLetterKind.NOT_THERE: Action("left {} whose row is not there"),
        DeadLetterKind.NEWER_MESSAGE: Action("left {} of a newer version"),
    }
)
DROP_UNREADABLE_ACTIONS: Mapping[DeadLetterKind, Action] = MappingProxyType(
    {
        **DEFAULT_ACTIONS,
        DeadLetterKind.UNREADABLE: Action("dropped {} that cannot be read", deletes=True),
        DeadLetterKind.NOT_THERE: Action("dropped {} whose row is not there", deletes=True),
    }
)


@dataclass(frozen=True)
class Redrive:
    """One redrive of a deployment's dead letters. `counts` counts what was done, as it is done."""

    target: TargetDeployment
    options: RedriveOptions
    timing: Timing
    counts: Counter[Action] = field(default_factory=Counter)

    def process_lanes(self, lanes: Mapping[str, str]) -> None:
        """Go once through the dead-letter queues of `lanes` (lane to URL). Raises AwsError.

        It may be broken off anywhere: a message is deleted after its successor was sent, so that at worst a job or a
        delivery is woken twice.
        """
        # so many as are dealt with well before they are shown to others again
        batch = max(1, min(10, int(self.options.rate * VISIBILITY_TIMEOUT / 2)))
        for lane, queue_url in lanes.items():
            with read_queue(self.target.aws, queue_url, self.timing, batch=batch) as reader:
                for received in reader:
                    self._handle(reader, classify(self.target.aws, self.target.settings.table, lane, received))
                    if self._limit_reached:
                        return

    def summary(self) -> str:
        """What was done so far, in one line."""
        known = dict.fromkeys((*DEFAULT_ACTIONS.values(), *DROP_UNREADABLE_ACTIONS.values()))
        done = [one.phrase.format(self.counts[one]) for one in known if self.counts[one] or one is REDRIVEN]
        return ("nothing was changed; without --dry-run: " if self.options.dry_run else "") + ", ".join(done)

    @property
    def _limit_reached(self) -> bool:
        done = sum(count for action, count in self.counts.items() if action.deletes)
        return self.options.limit is not None and done >= self.options.limit

    def _handle(self, reader: QueueReader, dead_letter: DeadLetterMessage) -> None:
        if self.options.jobs and dead_letter.subject not in self.options.jobs:
            return
        action = (DROP_UNREADABLE_ACTIONS if self.options.drop_unreadable else DEFAULT_ACTIONS)[dead_letter.kind]
        if not self.options.dry_run:
            if action.sends and dead_letter.message:
                self._send_back(dead_letter.lane, dead_letter.message)
            if action.deletes:
                reader.remove(dead_letter.received)
        self.counts[action] += 1

    def _send_back(self, lane: str, message: JobMessage | DeliveryMessage) -> None:
        if self.counts[REDRIVEN]:
            self.timing.pause(1 / self.options.rate)
        queue_url = self.target.settings.queues[lane]
        self.target.aws.send(
            send_delivery(queue_url, message) if isinstance(message, DeliveryMessage) else send_job(queue_url, message)
        )
