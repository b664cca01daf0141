"""The life of one job as a finite machine: its row, workers, a sweeper, a client, wake-ups and time.

Every change of the row is an attempt at a Move of the lifecycle table, made exactly when the table's guards allow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from coatcheck.core.lifecycle import TRANSITIONS, Slot, Status, Transition
from tests.model.row import Lease, Room, Row, Ttl, written

SUBMITS = ("submit", "submit for later")
MOST_MESSAGES = 2
NOTHING = -1
_WAITS = frozenset({Status.SCHEDULED, Status.QUEUED})


class Worker(NamedTuple):
    """A worker by what it believes: the attempt it holds (0: none), and whether it was told of a cancel.

    `read` is the attempt of the row that it has read, of a job without a slot that it is about to claim or to park.
    """

    attempt: int = 0
    cancel_seen: bool = False
    read: int = NOTHING


class Client(IntEnum):
    """How far the client is with its cancel: it reads the row, then writes what it found right, then is answered."""

    CONTENT = 0
    CANCELS_WAITING = 1
    REQUESTS_CANCEL = 2
    ANSWERED_202 = 3
    ANSWERED = 4


class State(NamedTuple):
    """Everything at one moment. `sweeper`: the move it is about to make on what it read, that row's attempt and slot.

    `seen` is the attempt and the slot of the row that the client has read, when it is about to cancel a job that waits.
    """

    row: Row | None
    workers: tuple[Worker, ...]
    sweeper: tuple[str, int, Slot] | None = None
    client: Client = Client.CONTENT
    seen: tuple[int, Slot] = (0, Slot.NONE)
    messages: int = 0
    room: Room = Room.UNLIMITED


class Step(NamedTuple):
    """One thing that may happen. `fence` is the attempt of who does it.

    `unsure`: it is a fault, or a client's whim, and nothing may count on it. `slot` is what who does it has read that
    the job has of its tenant's slots: the counts are changed by what it becomes.
    """

    who: str
    what: str
    after: State
    transition: str | None = None
    fence: int | None = None
    unsure: bool = False
    slot: Slot | None = None


_IDLE = Worker()
_NOT_SEEN = (0, Slot.NONE)


@dataclass(frozen=True, slots=True)
class JobMachine:
    """A job's life with so many workers, and a sweeper if it has one. `table` holds the moves by their names.

    `limits`: its tenant may be limited in how many jobs run at once. That makes a hundred times as many states.
    """

    table: Mapping[str, Transition]
    workers: int = 2
    attempts: int = 2
    legs: int = 1
    sweeper: bool = True
    limits: bool = False

    def steps(self, state: State) -> Iterator[Step]:
        """All that may happen next."""
        if state.row is None:
            yield from self._submits(state)
            return
        yield from _time(state, state.row)
        yield from _messages(state)
        if self.limits:
            yield from _others(state, state.row)
        for worker in dict.fromkeys(state.workers):
            yield from self._plays(state, state.row, worker)
        if self.sweeper:
            yield from self._sweeps(state, state.row)
        yield from self._cancels(state, state.row)

    def _submits(self, state: State) -> Iterator[Step]:
        for name in SUBMITS:
            status = self.table[name].target
            assert status is not None
            for most in range(1, self.attempts + 1):
                for ttl in (Ttl.NONE, Ttl.PENDING):
                    row = Row(status, 0, most, start_due=status is Status.QUEUED, ttl=ttl)
                    cancel_seen = f"submits: {status}, {most} attempts, queue_ttl {ttl.name.lower()}"
                    yield Step("client", cancel_seen, state._replace(row=row, messages=1), name)
                    yield Step(
                        "client", f"{cancel_seen}; no message is sent", state._replace(row=row), name, unsure=True
                    )

    def _plays(self, state: State, row: Row, worker: Worker) -> Iterator[Step]:
        if worker.attempt:
            yield from self._works(state, row, worker)
        elif worker.read is not NOTHING:
            yield from self._takes_slot(state, row, worker)
        elif state.messages:
            yield from self._receives(state, row, worker)

    def _receives(self, state: State, row: Row, worker: Worker) -> Iterator[Step]:
        rest = state._replace(messages=state.messages - 1)
        if state.room is not Room.UNLIMITED and row.status is Status.QUEUED and row.slot is Slot.NONE:
            reads = _as(rest, worker, Worker(read=row.attempt))
            yield Step("a worker", "reads a row whose job needs a slot", reads)
            return
        claimed = written(self.table["claim"], row)
        if claimed is not None:
            after = _as(rest, worker, Worker(claimed.attempt))._replace(row=claimed)
            yield Step("a worker", "claims", after, "claim", slot=row.slot)
            return
        released = written(self.table["release"], row)
        if released is not None:
            yield Step("a worker", "releases", state._replace(row=released), "release")
        yield Step("a worker", "finds nothing to do", rest)

    def _takes_slot(self, state: State, row: Row, worker: Worker) -> Iterator[Step]:
        """It claims the job with a slot, or parks it. If the row has changed meanwhile, its message comes again."""
        idle = _as(state, worker, _IDLE)
        yield Step("a worker", "dies before it takes a slot", idle, unsure=True)
        claimed = written(self.table["claim a slot"], row, worker.read, room=state.room)
        parked = written(self.table["park"], row, worker.read, room=state.room)
        if claimed is not None:
            # it writes the attempt after the one that it has read
            claimed = claimed._replace(attempt=worker.read + 1)
            after = _as(state, worker, Worker(claimed.attempt))._replace(row=claimed)
            yield Step("a worker", "claims a slot", after, "claim a slot", slot=Slot.NONE)
        if parked is not None:
            yield Step("a worker", "parks", idle._replace(row=parked), "park", slot=Slot.NONE)
        if claimed is None and parked is None:
            yield Step("a worker", "takes no slot", _messaged(idle))

    def _works(self, state: State, row: Row, worker: Worker) -> Iterator[Step]:
        yield Step("a worker", "dies; its message comes again", _as(_messaged(state), worker, _IDLE), unsure=True)
        yield Step("a worker", "dies", _as(state, worker, _IDLE), unsure=True)
        if worker.cancel_seen:
            yield from self._settles(state, row, worker, "cancel", {})
            return
        yield from self._renews_lease(state, row, worker)
        for transition in ("succeed", "fail"):
            yield from self._settles(state, row, worker, transition, {})
        if worker.attempt >= row.max_attempts:
            yield from self._settles(state, row, worker, "time out", {})
        else:
            yield from self._settles(state, row, worker, "retry", {"start_due": False})
        if row.max_attempts < self.attempts + self.legs:
            yield from self._settles(state, row, worker, "continue", {})
            yield from self._settles(state, row, worker, "retry", {"max_attempts": row.max_attempts + 1})

    def _renews_lease(self, state: State, row: Row, worker: Worker) -> Iterator[Step]:
        fence = worker.attempt
        renewed = written(self.table["renew lease"], row, fence)
        if renewed is None:
            yield Step("a worker", "beats, is refused and stops", _as(state, worker, _IDLE), fence=fence)
            return
        heard = worker._replace(cancel_seen=renewed.status is Status.CANCELING)
        yield Step("a worker", "beats", _as(state, worker, heard)._replace(row=renewed), "renew lease", fence)
        belated = written(self.table["renew lease"], row, fence, overtaken=True, lease=Lease.OUT)
        if belated is not None:
            cancel_seen = "has a beat arrive that a later one has overtaken"
            yield Step("a worker", cancel_seen, state._replace(row=belated), "renew lease", fence, unsure=True)

    def _settles(
        self, state: State, row: Row, worker: Worker, transition: str, more: Mapping[str, Any]
    ) -> Iterator[Step]:
        fence = worker.attempt
        slot = row.slot
        settled = written(self.table[transition], row, fence, **more)
        if settled is not None:
            waking = _messaged(state) if settled.status is Status.QUEUED else state
            yield Step(
                "a worker",
                f"makes {transition!r}",
                _as(waking, worker, _IDLE)._replace(row=settled),
                transition,
                fence,
                slot=slot,
            )
            cancel_seen = f"makes {transition!r}, and hears no answer"
            yield Step("a worker", cancel_seen, state._replace(row=settled), transition, fence, unsure=True, slot=slot)
        elif row.status is Status.CANCELING and row.attempt == fence and not worker.cancel_seen:
            heard = _as(state, worker, worker._replace(cancel_seen=True))
            yield Step("a worker", f"may not make {transition!r}, since a cancel came before", heard, fence=fence)
        else:
            yield Step("a worker", f"may not make {transition!r}, and stops", _as(state, worker, _IDLE), fence=fence)

    def _sweeps(self, state: State, row: Row) -> Iterator[Step]:
        if state.sweeper is None:
            if row.status in _WAITS and row.slot is not Slot.AWAITED:
                yield Step("the sweeper", "sends a message", _messaged(state))
            for transition in _due(row, state.room):
                about_to = state._replace(sweeper=(transition, row.attempt, row.slot))
                yield Step("the sweeper", f"has read the row and is about to make {transition!r}", about_to)
            return
        transition, fence, slot = state.sweeper
        idle = state._replace(sweeper=None)
        swept = written(self.table[transition], row, fence, sweeper=True, slot=slot, room=state.room)
        if swept is None:
            yield Step("the sweeper", f"may not make {transition!r}", idle)
            return
        waking = _messaged(idle) if swept.status is Status.QUEUED else idle
        yield Step("the sweeper", f"makes {transition!r}", waking._replace(row=swept), transition, fence, slot=slot)

    def _cancels(self, state: State, row: Row) -> Iterator[Step]:
        if state.client is Client.CONTENT:
            wish = _CLIENT_CALLS.get(row.status, Client.ANSWERED)
            seen = (row.attempt, row.slot) if wish is Client.CANCELS_WAITING else _NOT_SEEN
            reads = state._replace(client=wish, seen=seen)
            yield Step("the client", f"reads the row to cancel: {wish.name}", reads, unsure=True)
        if state.client not in _CANCELS:
            return
        transition = _CANCELS[state.client]
        fence, slot = state.seen
        canceled = written(self.table[transition], row, fence, slot=slot)
        if canceled is None:
            yield Step(
                "the client", f"may not make {transition!r}", state._replace(client=Client.CONTENT, seen=_NOT_SEEN)
            )
            return
        answered = _CLIENT_CALLS.get(canceled.status, Client.ANSWERED)
        after = state._replace(row=canceled, client=answered, seen=_NOT_SEEN)
        counted = slot if state.client is Client.CANCELS_WAITING else None
        yield Step("the client", f"makes {transition!r}", after, transition, slot=counted)


_CANCELS = {Client.CANCELS_WAITING: "cancel waiting", Client.REQUESTS_CANCEL: "request cancel"}
_CLIENT_CALLS = {
    Status.SCHEDULED: Client.CANCELS_WAITING,
    Status.QUEUED: Client.CANCELS_WAITING,
    Status.RUNNING: Client.REQUESTS_CANCEL,
    Status.CANCELING: Client.ANSWERED_202,
}


def _due(row: Row, room: Room) -> Iterator[str]:
    """The moves the sweeper sees fit for the row it read. A deadline in it may pass before it acts."""
    if row.slot is Slot.AWAITED:
        yield "unpark" if room is Room.UNLIMITED else "wake"
    if row.status in _WAITS and row.ttl is not Ttl.NONE:
        yield "expire"
    if row.status is Status.CANCELING and row.lease is Lease.OUT:
        yield "cancel"
    if row.status is Status.RUNNING and row.lease is Lease.OUT:
        yield from ("retry",) if row.attempt < row.max_attempts else ("fail", "time out")


def _time(state: State, row: Row) -> Iterator[Step]:
    """A lease that its holder renews runs out only when something is wrong with the holder."""
    if row.lease is Lease.RUNS:
        stalls = any(worker.attempt == row.attempt for worker in state.workers)
        cancel_seen = "the lease runs out" + (" under a worker that stands still" if stalls else "")
        yield Step("time", cancel_seen, state._replace(row=row._replace(lease=Lease.OUT)), unsure=stalls)
    if not row.start_due:
        yield Step("time", "the start comes", state._replace(row=row._replace(start_due=True)))
    if row.ttl is Ttl.PENDING:
        yield Step("time", "the queue_ttl passes", state._replace(row=row._replace(ttl=Ttl.PASSED)))


def _others(state: State, row: Row) -> Iterator[Step]:
    """The other jobs of the tenant take slots and give them back; an operator sets the limit, and clears it."""
    if state.room is Room.FULL:
        yield Step("another job", "gives its slot back", state._replace(room=Room.FREE))
    if state.room is Room.FULL and row.slot is Slot.AWAITED:
        woken = _messaged(state)._replace(row=row._replace(slot=Slot.HELD))
        yield Step("another job", "gives its slot back, and this one is woken with it", woken, unsure=True)
    if state.room is Room.FREE:
        yield Step("another job", "takes the last slot", state._replace(room=Room.FULL), unsure=True)
        yield Step("an operator", "clears the limit", state._replace(room=Room.UNLIMITED), unsure=True)
    if state.room is Room.UNLIMITED:
        yield Step("an operator", "sets a limit", state._replace(room=Room.FREE), unsure=True)


def _messages(state: State) -> Iterator[Step]:
    if state.messages:
        yield Step("SQS", "loses a message", state._replace(messages=state.messages - 1), unsure=True)
        yield Step("SQS", "doubles a message", _messaged(state), unsure=True)


def _messaged(state: State) -> State:
    return state._replace(messages=min(state.messages + 1, MOST_MESSAGES))


def _as(state: State, worker: Worker, after: Worker) -> State:
    """Workers are alike: they are kept in order, so that the same is not explored under several names."""
    workers = list(state.workers)
    workers[workers.index(worker)] = after
    return state._replace(workers=tuple(sorted(workers)))


def by_name(transitions: tuple[Transition, ...] = TRANSITIONS) -> dict[str, Transition]:
    """A table of moves by their names."""
    return {transition.name: transition for transition in transitions}
