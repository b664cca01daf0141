"""Redrives dead letters: decides which are sent again, which are deleted and which are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from coatcheck.core.aws.flow import run
from coatcheck.core.flows.dead_letters import (
    DEFAULT_ACTIONS,
    DROP_UNREADABLE_ACTIONS,
    REDRIVEN,
    Action,
    DeadLetterMessage,
    classify,
    perform,
)
from coatcheck_infra.ops.dead_letters.queue_reader import VISIBILITY_TIMEOUT, QueueReader, Timing, read_queue
from coatcheck_infra.ops.target_deployment import TargetDeployment


@dataclass(frozen=True, slots=True)
class RedriveOptions:
    """The options of a redrive. `rate` is in messages a second; `limit` counts messages sent back or deleted.

    `jobs` limits the redrive to messages of these jobs; if empty, it handles all.
    """

    rate: float = 10
    limit: int | None = None
    jobs: frozenset[str] = frozenset()
    drop_unreadable: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Redrive:
    """One redrive of a deployment's dead letters. `counts` counts the actions as they are done."""

    target: TargetDeployment
    options: RedriveOptions
    timing: Timing
    counts: Counter[Action] = field(default_factory=Counter)

    def process_lanes(self, lanes: Mapping[str, str]) -> None:
        """Go once through the dead-letter queues of `lanes` (lane to URL). Raises AwsError.

        It may be interrupted anywhere: a message is deleted only after its successor was sent, so at worst a job or a
        delivery is dispatched twice.
        """
        # as many messages as can be handled well before they become visible to others again
        batch = max(1, min(10, int(self.options.rate * VISIBILITY_TIMEOUT / 2)))
        aws = self.target.aws
        for lane, queue_url in lanes.items():
            with read_queue(aws, queue_url, self.timing, batch=batch) as reader:
                for received in reader:
                    self._handle(reader, run(aws, classify(self.target.settings.table, lane, received)))
                    if self._limit_reached:
                        return

    def summary(self) -> str:
        """Return what was done so far, in one line."""
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
            if action.sends and self.counts[REDRIVEN]:
                self.timing.pause(1 / self.options.rate)
            run(self.target.aws, perform(self.target.settings, dead_letter, action))
            if action.deletes:
                reader.forget(dead_letter.received)
        self.counts[action] += 1
