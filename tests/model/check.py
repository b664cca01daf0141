"""`python -m tests.model.check`: explore every state of a job's life, and show the shortest way to a broken promise."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from coatcheck.core.lifecycle import Slot, Status
from tests.model.machine import SUBMITS, JobMachine, State, Step, Worker, by_name
from tests.model.row import Lease, Room, Row, Ttl


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of a search. `violation` is the promise that is broken, at the end of `trace`; empty if none is."""

    states: int
    steps: int
    transitions: frozenset[str]
    violation: str = ""
    trace: tuple[Step, ...] = ()


HOLDS = {Status.RUNNING, Status.CANCELING}


def explore(machine: JobMachine) -> Explored:
    """Go breadth first through every state that can be reached, so that the first flaw has the shortest trace."""
    start = State(None, (Worker(),) * machine.workers)
    came: dict[State, tuple[State, Step] | None] = {start: None}
    surely: dict[State, list[State]] = {}
    transitions: set[str] = set()
    queue = deque([start])
    steps = 0
    while queue:
        state = queue.popleft()
        for step in machine.steps(state):
            steps += 1
            after = step.after
            if step.transition is not None:
                transitions.add(step.transition)
            violation = next(_violations(state, step), "")
            if violation:
                return Explored(len(came), steps, frozenset(transitions), violation, (*_way(came, state), step))
            if not step.unsure:
                surely.setdefault(after, []).append(state)
            if after not in came:
                came[after] = (state, step)
                queue.append(after)
    stuck = _stuck(came, surely)
    violation = "" if stuck is None else "from here no final status is reached, though nothing goes wrong any more"
    return Explored(len(came), steps, frozenset(transitions), violation, () if stuck is None else _way(came, stuck))


def _stuck(came: dict[State, tuple[State, Step] | None], surely: dict[State, list[State]]) -> State | None:
    """The first state from which steps that are sure to come lead to no final status.

    If there is none, every fair run in which nothing goes wrong any more ends: the graph is finite, so such a run
    comes to stay in a component that it does not leave, and each of those has a final status in it.
    """
    ending = [state for state in came if state.row is not None and state.row.status.final]
    ends = set(ending)
    while ending:
        for before in surely.get(ending.pop(), ()):
            if before not in ends:
                ends.add(before)
                ending.append(before)
    return next((state for state in came if state not in ends), None)


def _way(came: dict[State, tuple[State, Step] | None], state: State) -> tuple[Step, ...]:
    way: list[Step] = []
    while (before := came[state]) is not None:
        state = before[0]
        way.append(before[1])
    return tuple(reversed(way))


def _violations(before: State, step: Step) -> Iterator[str]:
    """The promises that a step breaks, spelled apart from the table, which would change with them."""
    old, new = before.row, step.after.row
    if old is None or new is None or step.transition is None or step.transition in SUBMITS:
        return
    if old.status.final:
        yield f"{old.status} is final, and was written again"
    if step.fence is not None and step.fence != old.attempt:
        yield f"the holder of attempt {step.fence} wrote over attempt {old.attempt}"
    if new.attempt > new.max_attempts:
        yield f"attempt {new.attempt} of {new.max_attempts}"
    if step.transition == "renew lease" and (old.lease, new.lease) == (Lease.RUNS, Lease.OUT):
        yield f"a beat moved the lease of attempt {old.attempt} back"
    if step.transition == "cancel waiting" and before.seen[0] != old.attempt:
        yield f"a cancel was decided on before attempt {old.attempt} was started, which nobody is told of then"
    yield from _of_slots(before.room, old, new, step)
    yield from _of_legs(old, new, step)
    yield from _taken(old, new, step)
    yield from _untimely(old, new)
    if new.status is Status.SUCCEEDED and (new.result != step.fence or old.status is not Status.RUNNING):
        yield f"succeeded out of {old.status} with the result of attempt {new.result}"
    if new.result and new.status is not Status.SUCCEEDED:
        yield f"{new.status} with a result"
    if old.status is Status.CANCELING and new.status not in {Status.CANCELING, Status.CANCELED}:
        yield f"a cancel was accepted, and the job is {new.status}"


def _of_slots(room: Room, old: Row, new: Row, step: Step) -> Iterator[str]:
    if step.slot not in {None, old.slot}:
        yield f"the counts are changed as if the job had {step.slot} of the slots, and it had {old.slot}"
    may_hold = new.status is Status.QUEUED or (new.slot is Slot.HELD and new.status in HOLDS)
    if new.slot is not Slot.NONE and not may_hold:
        yield f"{new.status} with a slot ({new.slot})"
    if new.attempt != old.attempt and old.slot is Slot.AWAITED:
        yield "a parked job was started"
    if new.attempt == old.attempt and new.status is Status.RUNNING and old.status is Status.QUEUED:
        yield f"attempt {new.attempt} was started again"
    if new.slot is Slot.HELD and old.slot is not Slot.HELD and room is Room.FULL:
        yield "more jobs than may hold a slot"
    if new.slot is Slot.AWAITED and old.slot is not Slot.AWAITED and room is not Room.FULL:
        yield "parked though a slot is free"


def _of_legs(old: Row, new: Row, step: Step) -> Iterator[str]:
    kept = step.fence if step.transition == "continue" else old.leg
    if new.leg != kept:
        yield f"{step.transition!r} in attempt {old.attempt} keeps the artifacts of leg {new.leg}, not of {kept}"


def _taken(old: Row, new: Row, step: Step) -> Iterator[str]:
    over = new.attempt != old.attempt or new.status not in {old.status, Status.CANCELING}
    by_other = step.who != "a worker" or step.fence is None
    if old.status in {Status.RUNNING, Status.CANCELING} and over and by_other and old.lease is not Lease.OUT:
        yield f"{step.who} took attempt {old.attempt} from its holder, whose lease runs"


def _untimely(old: Row, new: Row) -> Iterator[str]:
    started = new.attempt != old.attempt
    if not old.start_due and (started or (old.status is Status.SCHEDULED and new.status is Status.QUEUED)):
        yield "started before its time"
    if started and old.ttl is Ttl.PASSED:
        yield "started after its queue_ttl"
    if new.status is Status.EXPIRED and old.ttl is not Ttl.PASSED:
        yield "expired before its queue_ttl"


def describe(explored: Explored) -> list[str]:
    """The trace to the flaw, line by line."""
    lines = [f"{number:3}  {step.who} {step.what}{_seen(step)}" for number, step in enumerate(explored.trace, 1)]
    return [*lines, f"     {explored.violation}"] if explored.violation else []


def _seen(step: Step) -> str:
    row = step.after.row
    assert row is not None
    held = f" [attempt {step.fence}]" if step.fence is not None else ""
    return (
        f"{held} -> {row.status}, attempt {row.attempt} of {row.max_attempts}{', lease out' * (row.lease is Lease.OUT)}"
    )


def main() -> None:
    """Explore, and end with status 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.check", description=__doc__)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=3, help="the most attempts a job is submitted with")
    parser.add_argument("--legs", type=int, default=1, help="how often an attempt may end without being counted")
    options = parser.parse_args()
    began = time.monotonic()
    explored = explore(JobMachine(by_name(), options.workers, options.attempts, options.legs))
    took = time.monotonic() - began
    summary = f"{explored.states} states, {explored.steps} transitions, {took:.1f} s"
    sys.stdout.writelines(f"{line}\n" for line in [summary, *(describe(explored) or ["no promise is broken"])])
    sys.exit(bool(explored.violation))


if __name__ == "__main__":
    main()
