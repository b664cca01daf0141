"""What must hold of every write while a schedule runs.

The rules are those of the design's promises, spelled here once more in their own words: made from the lifecycle
table they would change with it, and find no fault in it. What must hold of what is left is in `aftermath`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from coatcheck.clock import HOUR, MINUTE, SECOND
from coatcheck.invariants import broken_invariants
from coatcheck.lifecycle import Status
from coatcheck.pack import to_json
from coatcheck.record import Job
from coatcheck.table.codec import decode_job
from coatcheck.table.keys import JOB, Item
from coatcheck.table.webhooks import get_delivery
from coatcheck.webhooks import Delivery, DeliveryKey, DeliveryStatus, Endpoint, unannounced
from tests.simulation.excuses import Excuses, Hold
from tests.simulation.index import Key
from tests.simulation.kinds import forgets_unknown, is_backlog, is_newer
from tests.simulation.model import Model
from tests.simulation.scheduler import Process, Scheduler

STUCK_AFTER = 8 * HOUR
"""Longer than all the waits together that a job of the simulation may ask for."""

OVERRUN = 20 * SECOND
"""How long after its timeout a handler may still run: until it is noticed, it had its chance to stop, and the job is
settled."""

Life = tuple[str, int]
"""A job's id and when it was created: an id is used again when its job is gone."""

_NEXT: dict[Status, set[Status]] = {
    Status.SCHEDULED: {Status.QUEUED, Status.CANCELED, Status.EXPIRED},
    Status.QUEUED: {Status.RUNNING, Status.CANCELED, Status.EXPIRED},
    Status.RUNNING: {
        Status.RUNNING,
        Status.QUEUED,
        Status.CANCELING,
        Status.SUCCEEDED,
        Status.FAILED,
        Status.TIMED_OUT,
    },
    Status.CANCELING: {Status.CANCELED},
}


def life_of(job: Job) -> Life:
    """Which job it is."""
    return job.id, job.created_at


class Checks:
    """Collects flaws; the first ends the schedule. It keeps each job's row as it was first, when it ended, and last."""

    def __init__(self, scheduler: Scheduler, model: Model) -> None:
        self._scheduler, self._model = scheduler, model
        self.excuses = Excuses(scheduler)
        self.flaws: list[str] = []
        self.actor = Process("nobody")
        self.accepted: dict[Life, Job] = {}
        self.canceled: set[Life] = set()
        self.to_be_forgotten: set[Life] = set()
        self.forgotten: dict[Life, int] = {}
        self.errands: set[object] = set()
        self.patience = STUCK_AFTER
        self.first: dict[Life, Job] = {}
        self.rows: dict[Life, Job] = {}
        self.ended: dict[Life, Job] = {}
        self.standing: dict[str, Life] = {}
        self.deliveries: dict[Key, Delivery] = {}
        self.arrived_bodies: dict[DeliveryKey, set[bytes]] = {}
        self.steady: list[Endpoint] = []
        self.deleted_endpoints: dict[str, int] = {}
        self.made: dict[Hold, bytes] = {}
        self._claims: dict[Hold, tuple[int, Job]] = {}
        self._running: dict[Hold, Process] = {}
        self._holders: dict[Hold, Process] = {}

    def flaw(self, what: str) -> None:
        """A promise was broken."""
        self.flaws.append(what)
        self._scheduler.end()

    def outlived(self, process: Process, began: int) -> None:
        """A Lambda is killed at its own deadline, for an invocation that began at a time."""
        if self.excuses.troubled_until(process) < began:
            self.flaw(f"{process.name} was well, and did not end in time")

    def begins(self, process: Process, hold: Hold, checkpoint: Any) -> None:
        """A handler starts, from a checkpoint if it is given one."""
        if hold in self._running or hold in self.made:
            self.flaw(f"attempt {hold[2]} of {hold[0]} is run twice")
        self._running[hold] = process
        _, claimed = self._claims[hold]
        saved = claimed.checkpoint.sha256 if claimed.checkpoint else hashlib.sha256(to_json(None)).digest()
        if hashlib.sha256(to_json(checkpoint)).digest() != saved:
            self.flaw(f"attempt {hold[2]} of {hold[0]} goes on from a checkpoint that is not its job's")

    def ends(self, hold: Hold) -> None:
        """A handler has ended, or its process has."""
        process = self._running.pop(hold, None)
        claimed_at, claimed = self._claims[hold]
        if process is not None:
            excused_until = max(claimed_at + claimed.timeout, self.excuses.troubled_until(process))
            if self._scheduler.now > excused_until + OVERRUN:
                self.flaw(f"attempt {hold[2]} of {hold[0]} ran past its timeout")

    def returns(self, hold: Hold, body: bytes) -> None:
        """A handler gave a result."""
        self.made[hold] = hashlib.sha256(body).digest()

    def arrived(self, delivery: Delivery) -> None:
        """A receiver got an event."""
        self.arrived_bodies.setdefault(delivery.key, set()).add(delivery.body)

    def sent(self, process: Process, delivery: Delivery) -> None:
        """A deliverer sends an event to a receiver, who may not take it."""
        deleted_at = self.deleted_endpoints.get(delivery.endpoint)
        if (
            deleted_at is not None
            and max(deleted_at, self.excuses.troubled_until(process)) + MINUTE < self._scheduler.now
        ):
            self.flaw(f"{process.name} sent {delivery.event} to {delivery.endpoint}, which was deleted")

    def written(self, key: Key, before: Item | None, after: Item | None) -> None:
        """An item of the table was written by `actor`, or removed."""
        if key[1].startswith("delivery#"):
            self._delivery_written(key, after)
        if before is not None and after is not None and forgets_unknown(before, after):
            self.flaw(f"{self.actor.name} dropped from {key} what only a newer version knows")
        if key[1] != JOB:
            return
        if after is None:
            self.standing.pop(key[0].partition("#")[2], None)
        elif before is not None and is_newer(before):
            if before != after:
                self.flaw(f"{self.actor.name} wrote over {key}, which a newer version wrote")
        elif not is_newer(after) and not is_backlog(after):
            self._row_written(decode_job(after))

    def _delivery_written(self, key: Key, after: Item | None) -> None:
        if after is None:
            self.deliveries.pop(key, None)
            return
        self.deliveries[key] = delivery = _read_delivery(after)
        if (delivery.status is DeliveryStatus.PENDING) is not (delivery.due_at is not None):
            self.flaw(f"{delivery.key.id} is {delivery.status} with due_at {delivery.due_at}")

    def _row_written(self, new: Job) -> None:
        life = life_of(new)
        for broken in broken_invariants(new):
            self.flaw(broken)
        old = self.rows.get(life)
        told_of = self.first[life].notify if old is not None else new.notify
        if new.due_at is not None and new.due_at < (new.expires_at or 0) and not told_of:
            self.flaw(f"{new.id} is {new.status} and is looked after before its retention is over")
        standing, self.standing[new.id] = self.standing.get(new.id), life
        self.rows[life] = new
        if standing is not None and standing != life:
            self._replaced(self.rows[standing])
        if old is None:
            self.first[life] = new
        elif standing is None:
            self.flaw(f"{new.id} was removed, and stands there again")
        elif new.version != old.version:
            self._moved(old, new)
        elif (new.status, new.attempt) != (old.status, old.attempt):
            self.flaw(f"{new.id} has changed and kept its version")

    def _replaced(self, old: Job) -> None:
        if not old.gone(self._scheduler.now + self.actor.offset):
            self.flaw(f"{old.id} was {old.status} and kept, and another job took its place")

    def _moved(self, old: Job, new: Job) -> None:
        if old.done:
            self._ended_before(old, new)
            return
        if new.status is not old.status and new.status not in _NEXT[old.status]:
            self.flaw(f"{old.id} went from {old.status} to {new.status}")
        if new.attempt != old.attempt:
            self._claimed(old, new)
        elif old.status in {Status.RUNNING, Status.CANCELING} and new.status not in {old.status, Status.CANCELING}:
            self._left(old)
        elif new.status is old.status and new.status in {Status.RUNNING, Status.CANCELING}:
            self._beaten(old, new)
        if new.done:
            self.ended[life_of(new)] = new
            self._finished(old, new)
        if old.status is Status.SCHEDULED and new.status is Status.QUEUED:
            self._started(old)

    def _ended_before(self, old: Job, new: Job) -> None:
        """It may be forgotten, if that was asked for."""
        if new.status is not old.status or (new.expires_at or 0) > (old.expires_at or 0):
            self.flaw(f"{old.id} was {old.status} and was written again, as {new.status}")
        elif life_of(old) not in self.to_be_forgotten:
            self.flaw(f"{old.id} was forgotten, and nobody has asked for that")

    def _beaten(self, old: Job, new: Job) -> None:
        hold = (old.id, old.created_at, old.attempt)
        if self._holders.get(hold) is not self.actor:
            self.flaw(f"{self.actor.name} beats for attempt {old.attempt} of {old.id}, which is another's")
        self.excuses.granted(hold, new)

    def _started(self, old: Job) -> None:
        if old.start_at is not None and old.start_at > self._scheduler.now + self.actor.offset:
            self.flaw(f"{old.id} was started before its time")

    def _claimed(self, old: Job, new: Job) -> None:
        if new.attempt != old.attempt + 1 or new.status is not Status.RUNNING:
            self.flaw(f"{old.id} went from attempt {old.attempt} to {new.attempt}, {new.status}")
        if new.attempt > new.max_attempts:
            self.flaw(f"{old.id} is in attempt {new.attempt} of {new.max_attempts}")
        self._started(old)
        if old.status is Status.RUNNING:
            self._left(old)
        hold = (new.id, new.created_at, new.attempt)
        self._holders[hold] = self.actor
        self._claims[hold] = self._scheduler.now, new
        self.excuses.granted(hold, new)

    def _left(self, old: Job) -> None:
        """The attempt of `old` is over, by the hand of `actor`."""
        hold = (old.id, old.created_at, old.attempt)
        holder = self._holders[hold]
        if holder is self.actor:
            return
        if old.lease_until is None or old.lease_until >= self._scheduler.now + self.actor.offset:
            self.flaw(f"{self.actor.name} ended attempt {old.attempt} of {old.id}, which {holder.name} holds")
        if not holder.alive:
            if self.excuses.noticed_late(hold, holder):
                self.flaw(f"the death of {holder.name} was noticed late")
        elif self._running.get(hold) is holder and self.excuses.was_well(hold, holder, self.actor):
            self.flaw(f"{self.actor.name} took {old.id} from {holder.name}, which was well")

    def _finished(self, old: Job, new: Job) -> None:
        if old.status is Status.QUEUED and new.status is Status.EXPIRED:
            clock = self._scheduler.now + self.actor.offset
            if old.queue_deadline is None or old.queue_deadline > clock:
                self.flaw(f"{old.id} expired before its time")
        permanent = new.error is not None and new.error.code == "rejected"
        if new.status in {Status.FAILED, Status.TIMED_OUT} and not permanent and new.attempt < new.max_attempts:
            self.flaw(f"{new.id} is {new.status} in attempt {new.attempt} of {new.max_attempts}")
        if new.finished_at is None or new.expires_at != new.finished_at + self.first[life_of(new)].retention:
            self.flaw(f"{new.id} ended at {new.finished_at} and is kept until {new.expires_at}")
        if (new.status is Status.SUCCEEDED) is not (new.error is None):
            self.flaw(f"{new.id} is {new.status} with error {new.error}")
        if new.status is Status.SUCCEEDED:
            made = self.made.get((new.id, new.created_at, new.attempt))
            if new.result is None or made is None or new.result.sha256 != made:
                self.flaw(f"{new.id} has a result that attempt {new.attempt} did not make")

    def all_done(self) -> bool:
        """Whether every client has what it asked for, every job has ended, and all was told that was to be told."""
        told = all(delivery.status is not DeliveryStatus.PENDING for delivery in self.deliveries.values())
        return not self.errands and told and all(self._is_over(job) for job in self.rows.values())

    def _is_over(self, job: Job) -> bool:
        """Whether a job has ended, and all was told of it."""
        return job.done and not unannounced(job)

    def all_swept(self) -> bool:
        """Whether nothing is left that the sweeper has to remove."""
        return all(self.rows[life].due_at is None for life in self.standing.values())

    def stuck(self, since: int) -> None:
        """It is so long since anything went wrong that every job must have ended."""
        if self._scheduler.now - since > self.patience:
            for job in self.rows.values():
                if not self._is_over(job):
                    waits = f"to tell of {job.notify}" if job.done else f"attempt {job.attempt} of {job.max_attempts}"
                    self.flaw(f"{job.id} is stuck: {job.status}, {waits}")
            for delivery in self.deliveries.values():
                if delivery.status is DeliveryStatus.PENDING:
                    self.flaw(f"{delivery.key.id} is stuck: {delivery.tries} tries")
            if self.errands and self._scheduler.now - since > 10 * self.patience:
                self.flaw(f"{len(self.errands)} clients are never answered")


def _read_delivery(item: Item) -> Delivery:
    found = get_delivery("", DeliveryKey("", "", 0, "")).read({"Item": item})
    assert found is not None
    return found
