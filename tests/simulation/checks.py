"""What must hold: of every write while a schedule runs, and of what is left when it is over.

The rules are those of the design's promises, spelled here once more in their own words: made from the lifecycle
table they would change with it, and find no fault in it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from coatcheck import blobs
from coatcheck.clock import HOUR, SECOND
from coatcheck.invariants import broken_invariants
from coatcheck.lifecycle import FINAL, Status
from coatcheck.pack import to_json
from coatcheck.record import Job
from coatcheck.table.codec import decode_events, decode_job
from coatcheck.table.keys import JOB, Item
from coatcheck.table.webhooks import get_delivery
from coatcheck.webhooks import Delivery, DeliveryKey, DeliveryStatus, unannounced
from tests.simulation.index import Key
from tests.simulation.model import Model
from tests.simulation.scheduler import Process, Scheduler

LEASE = 60 * SECOND
SWEEP_EVERY = 60 * SECOND
NOTICED_WITHIN = LEASE + SWEEP_EVERY + 5 * SECOND
"""The promise is a lease and a sweep; the rest is the way to the table and back."""

STUCK_AFTER = 8 * HOUR
"""Longer than all the waits together that a job of the simulation may ask for."""

OVERRUN = 20 * SECOND
"""How long after its timeout a handler may still run: until it is noticed, it had its chance to stop, and the job is
settled."""

Hold = tuple[str, int]
"""A job's id and the number of an attempt."""

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


class Checks:
    """Collects flaws; the first ends the schedule."""

    def __init__(self, scheduler: Scheduler, model: Model) -> None:
        self._scheduler, self._model = scheduler, model
        self.flaws: list[str] = []
        self.actor = Process("nobody")
        self.accepted: dict[str, Job] = {}
        self.canceled: set[str] = set()
        self.errands = 0
        self.patience = STUCK_AFTER
        self._claims: dict[Hold, tuple[int, Job]] = {}
        self._running: dict[Hold, Process] = {}
        self._holders: dict[Hold, Process] = {}
        self._made: dict[Hold, bytes] = {}
        self._died: dict[Process, int] = {}
        self._troubled: dict[Process, int] = {}
        self._offsets: set[int] = {0}
        self._calm_from = 0
        self._rows: dict[str, Job] = {}
        self._deliveries: dict[Key, Delivery] = {}
        self._arrived: dict[str, set[bytes]] = {}

    def flaw(self, what: str) -> None:
        """A promise was broken."""
        self.flaws.append(what)
        self._scheduler.end()

    def joined(self, process: Process) -> None:
        """A process was started."""
        self._offsets.add(process.offset)

    def died(self, process: Process) -> None:
        """A process ended."""
        self._died[process] = self._scheduler.now

    def troubled(self, process: Process, until: int) -> None:
        """Something goes wrong with a process until a time, which may excuse what it does."""
        self._troubled[process] = max(until, self._troubled.get(process, 0))
        self._calm_from = max(until, self._calm_from)

    def outlived(self, process: Process, began: int) -> None:
        """A Lambda is killed at its own deadline, for an invocation that began at a time."""
        if self._troubled.get(process, 0) < began:
            self.flaw(f"{process.name} was well, and did not end in time")

    def begins(self, process: Process, hold: Hold, checkpoint: Any) -> None:
        """A handler starts, from a checkpoint if it is given one."""
        if hold in self._running or hold in self._made:
            self.flaw(f"attempt {hold[1]} of {hold[0]} is run twice")
        self._running[hold] = process
        _, claimed = self._claims[hold]
        saved = claimed.checkpoint.sha256 if claimed.checkpoint else hashlib.sha256(to_json(None)).digest()
        if hashlib.sha256(to_json(checkpoint)).digest() != saved:
            self.flaw(f"attempt {hold[1]} of {hold[0]} goes on from a checkpoint that is not its job's")

    def ends(self, hold: Hold) -> None:
        """A handler has ended, or its process has."""
        process = self._running.pop(hold, None)
        claimed_at, claimed = self._claims[hold]
        if process is not None:
            excused_until = max(claimed_at + claimed.timeout, self._troubled.get(process, 0))
            if self._scheduler.now > excused_until + OVERRUN:
                self.flaw(f"attempt {hold[1]} of {hold[0]} ran past its timeout")

    def returns(self, hold: Hold, body: bytes) -> None:
        """A handler gave a result."""
        self._made[hold] = hashlib.sha256(body).digest()

    def arrived(self, delivery: Delivery) -> None:
        """A receiver got an event."""
        self._arrived.setdefault(delivery.event_id, set()).add(delivery.body)

    def written(self, key: Key, before: Item | None, after: Item | None) -> None:
        """An item of the table was written by `actor`."""
        if after is None:
            return
        if key[1].startswith("delivery#"):
            self._deliveries[key] = _read_delivery(after)
        if key[1] != JOB:
            return
        new = decode_job(after)
        for broken in broken_invariants(new):
            self.flaw(broken)
        if new.due_at is not None and new.due_at < (new.expires_at or 0) and new.webhook is None:
            self.flaw(f"{new.id} is {new.status} and is looked after before its retention is over")
        old = self._rows.get(new.id) if before is not None else None
        self._rows[new.id] = new
        if old is None:
            return
        if new.version == old.version:
            if (new.status, new.attempt) != (old.status, old.attempt):
                self.flaw(f"{new.id} has changed and kept its version")
            return
        self._moved(old, new)

    def _moved(self, old: Job, new: Job) -> None:
        if old.done:
            self.flaw(f"{old.id} was {old.status} and was written again, as {new.status}")
        elif new.status is not old.status and new.status not in _NEXT[old.status]:
            self.flaw(f"{old.id} went from {old.status} to {new.status}")
        if new.attempt != old.attempt:
            self._claimed(old, new)
        elif old.status in {Status.RUNNING, Status.CANCELING} and new.status not in {old.status, Status.CANCELING}:
            self._left(old)
        elif new.status is old.status and self._holders.get((old.id, old.attempt)) is not self.actor:
            self.flaw(f"{self.actor.name} beats for attempt {old.attempt} of {old.id}, which is another's")
        if new.done:
            self._finished(old, new)

        if old.status is Status.SCHEDULED and new.status is Status.QUEUED:
            self._started(old)

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
        self._holders[new.id, new.attempt] = self.actor
        self._claims[new.id, new.attempt] = self._scheduler.now, new

    def _left(self, old: Job) -> None:
        """The attempt of `old` is over, by the hand of `actor`."""
        hold = (old.id, old.attempt)
        holder = self._holders[hold]
        now = self._scheduler.now
        if holder is self.actor:
            return
        if old.lease_until is None or old.lease_until >= now + self.actor.offset:
            self.flaw(f"{self.actor.name} ended attempt {old.attempt} of {old.id}, which {holder.name} holds")
        spread = max(self._offsets) - min(self._offsets)
        if holder.alive:
            healthy = spread == 0 and now - self._troubled.get(holder, 0) > LEASE
            if self._running.get(hold) is holder and healthy:
                self.flaw(f"{self.actor.name} took {old.id} from {holder.name}, which was well")
        elif now - max(self._died[holder], self._calm_from) > NOTICED_WITHIN + spread:
            self.flaw(f"the death of {holder.name} was noticed late")

    def _finished(self, old: Job, new: Job) -> None:
        if old.status is Status.QUEUED and new.status is Status.EXPIRED:
            clock = self._scheduler.now + self.actor.offset
            if old.queue_deadline is None or old.queue_deadline > clock:
                self.flaw(f"{old.id} expired before its time")
        permanent = new.error is not None and new.error.code == "rejected"
        if new.status in {Status.FAILED, Status.TIMED_OUT} and not permanent and new.attempt < new.max_attempts:
            self.flaw(f"{new.id} is {new.status} in attempt {new.attempt} of {new.max_attempts}")
        if (new.status is Status.SUCCEEDED) is not (new.error is None):
            self.flaw(f"{new.id} is {new.status} with error {new.error}")
        if new.status is Status.SUCCEEDED:
            self._check_result(new)

    def all_done(self) -> bool:
        """Whether every client has what it asked for, every job has ended, and all was told that was to be told."""
        told = all(delivery.status is not DeliveryStatus.PENDING for delivery in self._deliveries.values())
        return not self.errands and told and all(job.done and not unannounced(job) for job in self._rows.values())

    def stuck(self, since: int) -> None:
        """It is so long since anything went wrong that every job must have ended."""
        if self._scheduler.now - since > self.patience:
            for job in self._rows.values():
                if not job.done or unannounced(job):
                    waits = f"to tell of {job.notify}" if job.done else f"attempt {job.attempt} of {job.max_attempts}"
                    self.flaw(f"{job.id} is stuck: {job.status}, {waits}")
            for delivery in self._deliveries.values():
                if delivery.status is DeliveryStatus.PENDING:
                    self.flaw(f"{delivery.key.id} is stuck: {delivery.tries} tries")

    def at_the_end(self) -> Counter[Status]:
        """What must hold of what is left; answers how the jobs have ended."""
        jobs = {job.id: job for job in self.jobs()}
        for lost in self.accepted.keys() - jobs.keys():
            self.flaw(f"{lost} was accepted and is lost")
        for job_id in self.canceled:
            if jobs[job_id].status is not Status.CANCELED:
                self.flaw(f"{job_id} was to be canceled and is {jobs[job_id].status}")
        asked = Counter(job.metadata["errand"] for job in jobs.values())
        for errand, count in asked.items():
            if count > 1:
                self.flaw(f"the client asked once, under {errand}, and has {count} jobs")
        for job in jobs.values():
            self._check_history(job)
            self._check_told(job)
            if job.status is Status.SUCCEEDED:
                self._check_result(job)
        return Counter(job.status for job in jobs.values())

    def jobs(self) -> list[Job]:
        """The jobs as they are."""
        return [decode_job(item) for (_, sort), item in self._model.table.items.items() if sort == JOB]

    def _check_told(self, job: Job) -> None:
        """What was to be told has arrived, and was the same each time."""
        happened = {f"job.{job.status}"} | ({"job.started"} if job.attempt else set())
        wanted = happened & set(job.webhook["events"] if job.webhook else ())
        made = [one for one in self._deliveries.values() if one.key.of == job.id]
        if sorted(one.event for one in made) != sorted(wanted):
            self.flaw(f"{job.id} was to tell of {wanted}, and told of {[one.event for one in made]}")
        for delivery in made:
            if self._arrived.get(delivery.event_id) != {delivery.body}:
                self.flaw(f"{delivery.event} of {job.id} did not arrive, or not as it is")
            if delivery.tries != len(delivery.attempts):
                self.flaw(f"{delivery.key.id} was tried {delivery.tries} times, and tells of {delivery.attempts}")
            if b'"status":"running"' not in delivery.body and delivery.event == "job.started":
                self.flaw(f"{delivery.key.id} tells of the start of {job.id} as it was later")

    def _check_result(self, job: Job) -> None:
        expected = self._made.get((job.id, job.attempt))
        if job.result is None or expected is None or job.result.sha256 != expected:
            self.flaw(f"{job.id} has a result that attempt {job.attempt} did not make")
            return
        stored = self._model.bucket.objects.get(blobs.result_key(job))
        body = job.result.inline if stored is None else stored.body
        if body is None or hashlib.sha256(body).digest() != expected:
            self.flaw(f"the result of {job.id} is not there")

    def _check_history(self, job: Job) -> None:
        partition = f"{job.tenant}#{job.id}"
        pages = sorted(key for key in self._model.table.items if key[0] == partition and key[1].startswith("history#"))
        told = [event for key in pages for event in decode_events(self._model.table.items[key]["events"])]
        told = told[: job.history_from - 1] + list(job.history)
        final = [event.type for event in told if event.type.removeprefix("job.") in FINAL]
        if job.done and (len(final) != 1 or told[-1].type != f"job.{job.status}"):
            self.flaw(f"the history of {job.id} ends {job.status} with {final}")
        started = sum(event.type == "job.started" for event in told)
        if started != job.attempt:
            self.flaw(f"the history of {job.id} tells of {started} starts in {job.attempt} attempts")


def _read_delivery(item: Item) -> Delivery:
    found = get_delivery("", DeliveryKey("", "", 0, "")).read({"Item": item})
    assert found is not None
    return found
