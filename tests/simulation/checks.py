"""What must hold of every write while a schedule runs.

The rules are those of the design's promises, spelled here once more in their own words: made from the lifecycle
table they would change with it, and find no fault in it. What must hold of what is left is in `aftermath`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from coatcheck.core.aws.dynamodb.codec import decode_job
from coatcheck.core.aws.dynamodb.keys import JOB, Item
from coatcheck.core.aws.dynamodb.webhook_items import get_delivery
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.pack import to_json
from coatcheck.core.webhooks import Delivery, DeliveryKey, DeliveryStatus, WebhookEndpoint, pending_events
from tests.simulation.artifacts import ExpectedArtifacts
from tests.simulation.fault_history import AttemptKey, FaultHistory
from tests.simulation.index import Key
from tests.simulation.item_kinds import forgets_unknown, is_backlog, is_newer
from tests.simulation.model import Model
from tests.simulation.runner_deaths import RunnerDeaths
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.slots import TENANT, SlotChecks
from tests.simulation.tallies import TallyChecks, is_usage

STUCK_AFTER = 8 * HOUR
"""Longer than all the waits together that a job of the simulation may ask for."""

OVERRUN = 20 * SECOND
"""How long after its timeout a handler may still run: until it is noticed, it had its chance to stop, and the job is
settled."""

Incarnation = tuple[str, int]
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


def incarnation_of(job: Job) -> Incarnation:
    """Which job it is."""
    return job.id, job.created_at


class Checks:
    """Collects flaws; the first ends the schedule. It keeps each job's row as it was first, when it ended, and last."""

    def __init__(self, scheduler: Scheduler, model: Model) -> None:
        self._scheduler, self._model = scheduler, model
        self.fault_history = FaultHistory(scheduler)
        self.runner_deaths = RunnerDeaths(scheduler, self.fault_history, self.violation)
        self.violations: list[str] = []
        self.actor = Process("nobody")
        self.accepted: dict[Incarnation, Job] = {}
        self.canceled: set[Incarnation] = set()
        self.to_be_forgotten: set[Incarnation] = set()
        self.forgotten: dict[Incarnation, int] = {}
        self.carried_out_late: set[str] = set()
        self.client_scripts: set[object] = set()
        self.patience = STUCK_AFTER
        self.first: dict[Incarnation, Job] = {}
        self.rows: dict[Incarnation, Job] = {}
        self.ended: dict[Incarnation, Job] = {}
        self.current: dict[str, Incarnation] = {}
        self.deliveries: dict[Key, Delivery] = {}
        self.arrived_bodies: dict[DeliveryKey, set[bytes]] = {}
        self.steady: list[WebhookEndpoint] = []
        self.deleted_endpoints: dict[str, int] = {}
        self.made: dict[AttemptKey, bytes] = {}
        self.artifacts = ExpectedArtifacts()
        self.slots = SlotChecks(model, TENANT)
        self.tallies = TallyChecks(self.fault_history)
        self._claims: dict[AttemptKey, tuple[int, Job]] = {}
        self._running: dict[AttemptKey, Process] = {}
        self._holders: dict[AttemptKey, Process] = {}

    def violation(self, what: str) -> None:
        """A promise was broken."""
        self.violations.append(what)
        self._scheduler.end()

    def outlived(self, process: Process, began: int) -> None:
        """A Lambda is killed at its own deadline, for an invocation that began at a time."""
        if self.fault_history.troubled_until(process) < began:
            self.violation(f"{process.name} was well, and did not end in time")

    def begins(self, process: Process, attempt_key: AttemptKey, checkpoint: Any) -> None:
        """A handler starts, from a checkpoint if it is given one."""
        if attempt_key in self._running or attempt_key in self.made:
            self.violation(f"attempt {attempt_key[2]} of {attempt_key[0]} is run twice")
        self._running[attempt_key] = process
        _, claimed = self._claims[attempt_key]
        saved = claimed.checkpoint.sha256 if claimed.checkpoint else hashlib.sha256(to_json(None)).digest()
        if hashlib.sha256(to_json(checkpoint)).digest() != saved:
            self.violation(
                f"attempt {attempt_key[2]} of {attempt_key[0]} goes on from a checkpoint that is not its job's"
            )

    def ends(self, attempt_key: AttemptKey) -> None:
        """A handler has ended, or its process has."""
        process = self._running.pop(attempt_key, None)
        claimed_at, claimed = self._claims[attempt_key]
        if process is not None:
            allowed_until = max(claimed_at + claimed.timeout, self.fault_history.troubled_until(process))
            if self._scheduler.now > allowed_until + OVERRUN:
                self.violation(f"attempt {attempt_key[2]} of {attempt_key[0]} ran past its timeout")

    def returns(self, attempt_key: AttemptKey, body: bytes) -> None:
        """A handler gave a result."""
        self.made[attempt_key] = hashlib.sha256(body).digest()

    def arrived(self, delivery: Delivery) -> None:
        """A receiver got an event."""
        self.arrived_bodies.setdefault(delivery.key, set()).add(delivery.body)

    def sent(self, process: Process, delivery: Delivery) -> None:
        """A deliverer sends an event to a receiver, who may not take it."""
        deleted_at = self.deleted_endpoints.get(delivery.endpoint)
        if (
            deleted_at is not None
            and max(deleted_at, self.fault_history.troubled_until(process)) + MINUTE < self._scheduler.now
        ):
            self.violation(f"{process.name} sent {delivery.event} to {delivery.endpoint}, which was deleted")

    def written(self, key: Key, before: Item | None, after: Item | None) -> None:
        """An item of the table was written by `actor`, or removed."""
        if key[1].startswith("delivery#"):
            self._delivery_written(key, after)
        if before is not None and after is not None and forgets_unknown(before, after):
            self.violation(f"{self.actor.name} dropped from {key} what only a newer version knows")
        if is_usage(key) and after is not None:
            for wrong in self.tallies.usage_written(self.actor, before, after):
                self.violation(wrong)
        if key[1] != JOB:
            return
        if after is None:
            self.current.pop(key[0].partition("#")[2], None)
            self.slots.removed(key[0].partition("#")[2])
        elif before is not None and is_newer(before):
            if before != after:
                self.violation(f"{self.actor.name} wrote over {key}, which a newer version wrote")
        elif not is_newer(after) and not is_backlog(after):
            self._row_written(decode_job(after))

    def _delivery_written(self, key: Key, after: Item | None) -> None:
        if after is None:
            self.deliveries.pop(key, None)
            return
        self.deliveries[key] = delivery = _read_delivery(after)
        if (delivery.status is DeliveryStatus.PENDING) is not (delivery.due_at is not None):
            self.violation(f"{delivery.key.id} is {delivery.status} with due_at {delivery.due_at}")

    def _row_written(self, new: Job) -> None:
        incarnation = incarnation_of(new)
        for broken in broken_invariants(new):
            self.violation(broken)
        old = self.rows.get(incarnation)
        for wrong in self.slots.written(old, new, self._scheduler.now):
            self.violation(wrong)
        self.tallies.job_written(self.actor, old, new, self._scheduler.now)
        told_of = self.first[incarnation].notify if old is not None else new.notify
        if new.due_at is not None and new.due_at < (new.expires_at or 0) and not told_of:
            self.violation(f"{new.id} is {new.status} and is looked after before its retention is over")
        current, self.current[new.id] = self.current.get(new.id), incarnation
        self.rows[incarnation] = new
        if current is not None and current != incarnation:
            self._replaced(self.rows[current])
        if old is None:
            self.first[incarnation] = new
        elif current is None:
            self.violation(f"{new.id} was removed, and stands there again")
        elif new.version != old.version:
            self._moved(old, new)
        elif (new.status, new.attempt) != (old.status, old.attempt):
            self.violation(f"{new.id} has changed and kept its version")

    def _replaced(self, old: Job) -> None:
        if not old.gone(self._scheduler.now + self.actor.offset):
            self.violation(f"{old.id} was {old.status} and kept, and another job took its place")

    def _moved(self, old: Job, new: Job) -> None:
        if old.done:
            self._ended_before(old, new)
            return
        if new.status is not old.status and new.status not in _NEXT[old.status]:
            self.violation(f"{old.id} went from {old.status} to {new.status}")
        if new.attempt != old.attempt:
            self._claimed(old, new)
        elif old.status in {Status.RUNNING, Status.CANCELING} and new.status not in {old.status, Status.CANCELING}:
            self._left(old, new)
            self.artifacts.ended(new)
        elif new.status is old.status and new.status in {Status.RUNNING, Status.CANCELING}:
            self._lease_renewed(old, new)
        if new.done:
            self.ended[incarnation_of(new)] = new
            self._finished(old, new)
        if old.status is Status.SCHEDULED and new.status is Status.QUEUED:
            self._started(old)

    def _ended_before(self, old: Job, new: Job) -> None:
        """It may be forgotten, if that was asked for."""
        if new.status is not old.status or (new.expires_at or 0) > (old.expires_at or 0):
            self.violation(f"{old.id} was {old.status} and was written again, as {new.status}")
        elif incarnation_of(old) not in self.to_be_forgotten:
            self.violation(f"{old.id} was forgotten, and nobody has asked for that")

    def _lease_renewed(self, old: Job, new: Job) -> None:
        attempt_key = (old.id, old.created_at, old.attempt)
        if self._holders.get(attempt_key) is not self.actor:
            self.violation(f"{self.actor.name} beats for attempt {old.attempt} of {old.id}, which is another's")
        self.fault_history.granted(attempt_key, new)

    def _started(self, old: Job) -> None:
        if old.start_at is not None and old.start_at > self._scheduler.now + self.actor.offset:
            self.violation(f"{old.id} was started before its time")

    def _claimed(self, old: Job, new: Job) -> None:
        if new.attempt != old.attempt + 1 or new.status is not Status.RUNNING:
            self.violation(f"{old.id} went from attempt {old.attempt} to {new.attempt}, {new.status}")
        if new.attempt > new.max_attempts:
            self.violation(f"{old.id} is in attempt {new.attempt} of {new.max_attempts}")
        self._started(old)
        if old.status is Status.RUNNING:
            self._left(old, new)
        attempt_key = (new.id, new.created_at, new.attempt)
        self._holders[attempt_key] = self.actor
        self._claims[attempt_key] = self._scheduler.now, new
        self.fault_history.granted(attempt_key, new)

    def _left(self, old: Job, new: Job) -> None:
        """The attempt of `old` is over, by the hand of `actor`."""
        attempt_key = (old.id, old.created_at, old.attempt)
        holder = self._holders[attempt_key]
        self.runner_deaths.left(attempt_key, old, new, self.actor)
        if holder is self.actor:
            return
        if old.lease_until is None or old.lease_until >= self._scheduler.now + self.actor.offset:
            self.violation(f"{self.actor.name} ended attempt {old.attempt} of {old.id}, which {holder.name} holds")
        if not holder.alive:
            if self.fault_history.noticed_late(attempt_key, holder):
                self.violation(f"the death of {holder.name} was noticed late")
        elif self._running.get(attempt_key) is holder and self.fault_history.was_well(attempt_key, holder, self.actor):
            self.violation(f"{self.actor.name} took {old.id} from {holder.name}, which was well")

    def _finished(self, old: Job, new: Job) -> None:
        if old.status is Status.QUEUED and new.status is Status.EXPIRED:
            clock = self._scheduler.now + self.actor.offset
            if old.queue_deadline is None or old.queue_deadline > clock:
                self.violation(f"{old.id} expired before its time")
        permanent = new.error is not None and new.error.code == "rejected"
        if new.status in {Status.FAILED, Status.TIMED_OUT} and not permanent and new.attempt < new.max_attempts:
            self.violation(f"{new.id} is {new.status} in attempt {new.attempt} of {new.max_attempts}")
        if new.finished_at is None or new.expires_at != new.finished_at + self.first[incarnation_of(new)].retention:
            self.violation(f"{new.id} ended at {new.finished_at} and is kept until {new.expires_at}")
        if (new.status is Status.SUCCEEDED) is not (new.error is None):
            self.violation(f"{new.id} is {new.status} with error {new.error}")
        if new.status is Status.SUCCEEDED:
            made = self.made.get((new.id, new.created_at, new.attempt))
            if new.result is None or made is None or new.result.sha256 != made:
                self.violation(f"{new.id} has a result that attempt {new.attempt} did not make")

    def all_done(self) -> bool:
        """Whether every client has what it asked for, every job has ended, and all was told that was to be told."""
        announced = all(delivery.status is not DeliveryStatus.PENDING for delivery in self.deliveries.values())
        return not self.client_scripts and announced and all(self._is_over(job) for job in self.rows.values())

    def _is_over(self, job: Job) -> bool:
        """Whether a job has ended, and all was told of it."""
        return job.done and not pending_events(job)

    def all_swept(self, *, expired: bool) -> bool:
        """Whether nothing is left that the sweeper has to remove of jobs that were deleted, and of the `expired`."""
        current = [one for one in self.current.values() if expired or one in self.forgotten]
        return all(self.rows[incarnation].due_at is None for incarnation in current)

    def stuck(self, since: int) -> None:
        """It is so long since anything went wrong that every job must have ended."""
        if self._scheduler.now - since > self.patience:
            for job in self.rows.values():
                if not self._is_over(job):
                    waits = f"to tell of {job.notify}" if job.done else f"attempt {job.attempt} of {job.max_attempts}"
                    self.violation(f"{job.id} is stuck: {job.status}, {waits}")
            for delivery in self.deliveries.values():
                if delivery.status is DeliveryStatus.PENDING:
                    self.violation(f"{delivery.key.id} is stuck: {delivery.tries} tries")
            if self.client_scripts and self._scheduler.now - since > 10 * self.patience:
                self.violation(f"{len(self.client_scripts)} clients are never answered")


def _read_delivery(item: Item) -> Delivery:
    found = get_delivery("", DeliveryKey("", "", 0, "")).read({"Item": item})
    assert found is not None
    return found
