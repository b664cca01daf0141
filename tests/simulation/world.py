"""One schedule's world: processes on the model of AWS, and what is kept of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar

from coatcheck.core.aws.call import AwsError, Call
from coatcheck.core.aws.dynamodb.keys import Item
from coatcheck.core.clock import SECOND
from tests.simulation.checks import Checks
from tests.simulation.faults import Fault, FaultInjector
from tests.simulation.item_kinds import UNKNOWN
from tests.simulation.model import Model
from tests.simulation.nondeterminism import Nondeterminism
from tests.simulation.scheduler import START, Killed, Process, Scheduler, Task, Threads
from tests.simulation.sqs import Queue
from tests.simulation.trace_format import describe, subject

T = TypeVar("T")

MOST_CALLS = 12_000
"""Calls after which a schedule is taken to go round in circles. Sweeps and heartbeats of two hours and a half, which
nine attempts of a long job take, are 6,000."""


class World:
    """Everything of the schedule `seed`. `trace` gets a line for each call and each fault, if it is a list.

    `brief`: its jobs are kept for so short a time that it goes on until the sweeper has removed them.
    """

    def __init__(self, seed: int, threads: Threads, trace: list[str] | None = None) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.scheduler = Scheduler(threads)
        self.fault_injector = FaultInjector(self.chance, START)
        self.model = Model(chance=self.chance, nondeterminism=self._nondeterminism())
        self.calls = 0
        self.calm_from = START
        self.brief = False
        self.most_calls = MOST_CALLS
        self.checks = Checks(self.scheduler, self.model)
        self.model.table.watch = self.checks.written
        self._trace = trace
        self._polling: dict[Task, Queue] = {}

    @property
    def now(self) -> int:
        """The virtual time, in milliseconds."""
        return self.scheduler.now

    def sleep(self, milliseconds: int) -> None:
        """The running task waits. Raises Killed."""
        self.scheduler.wait(self.now + milliseconds)

    def process(self, name: str, offset: int, when_dead: Callable[[], None]) -> Process:
        """A new process; when it has died, `when_dead` is called, which must not wait."""
        made = Process(name, offset, when_dead=[when_dead])
        self.checks.fault_history.joined(made)
        return made

    def clock(self, process: Process) -> Callable[[], int]:
        """The clock of a process."""
        return lambda: self.scheduler.now + process.offset

    def crash(self, process: Process) -> None:
        """End a process now. Raises Killed when it is the one that runs."""
        if process.alive:
            self.say(process, "dies")
            self.scheduler.kill(process)
            self.checks.fault_history.died(process)
            self.trouble(process, 10 * SECOND)
            for action in process.when_dead:
                action()
        if self.scheduler.current.process is process:
            raise Killed

    def trouble(self, process: Process, lasting: int = 0) -> None:
        """Something goes wrong with a process, for so many milliseconds."""
        until = self.now + lasting
        self.calm_from = max(self.calm_from, until)
        self.checks.fault_history.troubled(process, until)

    def say(self, process: Process, what: str) -> None:
        """One line for the trace."""
        if self._trace is not None:
            self._trace.append(f"{(self.now - START) / SECOND:10.3f}  {process.name:<12} {what}")

    @property
    def traced(self) -> bool:
        """Whether a trace is kept."""
        return self._trace is not None

    def write_unknown(self, key: Item) -> None:
        """A newer version notes something in an item that this one does not know."""
        place = key["pk"]["S"], key["sk"]["S"]
        item = self.model.table.items.get(place)
        if item is not None:
            self.model.table.write(place, item | {UNKNOWN: {"S": "kept"}}, self.now)

    def carry_out(self, process: Process, call: Call[T]) -> T:
        """What AWS does with a call of `process` that reached it."""
        self.checks.actor = process
        try:
            answer = self.model.carry_out(call, self.now)
        except AwsError as error:
            self.checks.violation(f"{process.name}: {error}: {error.__cause__!r}")
            raise
        if "MessageAttributes" in call.params and not self.fault_injector.counts[Fault.ODD]:
            self.checks.violation(f"{process.name} puts a message aside: {call.params['MessageAttributes']}")
        repeated = self.fault_injector.counts[Fault.REPEATED]
        for wrong in chain(self.checks.slots.miscounted(), self.checks.tallies.too_low(self.now, repeated)):
            self.checks.violation(f"{process.name}, {call.operation}: {wrong}")
        if call.operation in {"SendMessage", "SendMessageBatch", "ChangeMessageVisibility"}:
            self._wake_pollers()
        if self._trace is not None:
            self.say(process, f"{call.operation} {subject(call)} -> {describe(answer)}")
        return answer

    def await_message(self, call: Call[Any]) -> None:
        """The running task waits until there may be a message for `call` to receive."""
        task = self.scheduler.current
        self._polling[task] = queue = self.model.queues.of(call.params)
        try:
            self.scheduler.wait(queue.next_visible())
        finally:
            del self._polling[task]

    def _wake_pollers(self) -> None:
        for task, queue in self._polling.items():
            at = queue.next_visible()
            if at is not None:
                self.scheduler.wake(task, at)

    def _nondeterminism(self) -> Nondeterminism:
        return Nondeterminism(
            lag=lambda: self._sometimes(5 * SECOND),
            age=lambda: self._sometimes(2 * SECOND),
            leaves_out=lambda: self.fault_injector.leaves_out(self.now),
            doubled=lambda: self.fault_injector.doubles(self.now),
        )

    def _sometimes(self, longest: int) -> int:
        return self.chance.randint(0, longest) if self.chance.random() < 0.2 else 0
