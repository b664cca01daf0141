"""Bringing dead letters back: which are sent again, which deleted, which left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from coatcheck.messages import DeliveryMessage, JobMessage
from coatcheck.queues import send_delivery, send_job
from infra.dead_letters.letters import HOLD, Kind, Letter, Reading, Timing, look_up, reading
from infra.dead_letters.place import Place


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. `rate` is in messages a second; `limit` counts what is sent back or deleted.

    `jobs`: only messages of these; none for all.
    """

    rate: float = 10
    limit: int | None = None
    jobs: frozenset[str] = frozenset()
    drop_unreadable: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of a dead letter, and how it is told with the number of them."""

    told: str
    sends: bool = False
    deletes: bool = False


REDRIVEN = Treatment("redriven {}", sends=True, deletes=True)

# a wake-up does no harm, so a job in a row that only newer workers read is woken for them
LEAVING: Mapping[Kind, Treatment] = MappingProxyType(
    {
        Kind.UNFINISHED: REDRIVEN,
        Kind.NEWER_ROW: REDRIVEN,
        Kind.FINISHED: Treatment("dropped {} that are finished", deletes=True),
        Kind.UNREADABLE: Treatment("left {} that cannot be read"),
        Kind.NOT_THERE: Treatment("left {} whose row is not there"),
        Kind.NEWER_MESSAGE: Treatment("left {} of a newer version"),
    }
)
DROPPING: Mapping[Kind, Treatment] = MappingProxyType(
    {
        **LEAVING,
        Kind.UNREADABLE: Treatment("dropped {} that cannot be read", deletes=True),
        Kind.NOT_THERE: Treatment("dropped {} whose row is not there", deletes=True),
    }
)


@dataclass(frozen=True)
class Redrive:
    """One redrive of a deployment's dead letters. `tally` counts what was done, as it is done."""

    place: Place
    order: Order
    timing: Timing
    tally: Counter[Treatment] = field(default_factory=Counter)

    def go_through(self, lanes: Mapping[str, str]) -> None:
        """Go once through the dead-letter queues of `lanes` (lane to URL). Raises AwsError.

        It may be broken off anywhere: a message is deleted after its successor was sent, so that at worst a job or a
        delivery is woken twice.
        """
        # so many as are dealt with well before they are shown to others again
        batch = max(1, min(10, int(self.order.rate * HOLD / 2)))
        for lane, queue_url in lanes.items():
            with reading(self.place.aws, queue_url, self.timing, batch=batch) as letters:
                for received in letters:
                    self._treat(letters, look_up(self.place.aws, self.place.deployment.table, lane, received))
                    if self._had_enough:
                        return

    def summary(self) -> str:
        """What was done so far, in one line."""
        known = dict.fromkeys((*LEAVING.values(), *DROPPING.values()))
        done = [one.told.format(self.tally[one]) for one in known if self.tally[one] or one is REDRIVEN]
        return ("nothing was changed; without --dry-run: " if self.order.dry_run else "") + ", ".join(done)

    @property
    def _had_enough(self) -> bool:
        done = sum(count for treatment, count in self.tally.items() if treatment.deletes)
        return self.order.limit is not None and done >= self.order.limit

    def _treat(self, letters: Reading, letter: Letter) -> None:
        if self.order.jobs and letter.of not in self.order.jobs:
            return
        treatment = (DROPPING if self.order.drop_unreadable else LEAVING)[letter.kind]
        if not self.order.dry_run:
            if treatment.sends and letter.message:
                self._send_back(letter.lane, letter.message)
            if treatment.deletes:
                letters.remove(letter.received)
        self.tally[treatment] += 1

    def _send_back(self, lane: str, message: JobMessage | DeliveryMessage) -> None:
        if self.tally[REDRIVEN]:
            self.timing.pause(1 / self.order.rate)
        queue_url = self.place.deployment.queues[lane]
        self.place.aws.send(
            send_delivery(queue_url, message) if isinstance(message, DeliveryMessage) else send_job(queue_url, message)
        )
