"""One schedule's world: processes on the model of AWS, each behind a door at which its calls go wrong."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from coatcheck.calls import Answer, AwsError, AwsUnavailable, Call
from coatcheck.clock import MINUTE, SECOND
from coatcheck.table.keys import Item
from coatcheck.table.unknown import NewerRow
from tests.simulation.checks import UNKNOWN, Checks
from tests.simulation.faults import BEAT, ODD, Fault, Storm
from tests.simulation.freedom import Freedom
from tests.simulation.model import Model
from tests.simulation.scheduler import START, Killed, Process, Scheduler, Task, Threads
from tests.simulation.sqs import Queue

T = TypeVar("T")

URGENT_FAILS_WITHIN = 10 * SECOND
"""The patience of the doors with a heartbeat."""

MOST_CALLS = 6000
"""Calls after which a schedule is taken to go round in circles."""


class World:
    """Everything of the schedule `seed`. `trace` gets a line for each call and each fault, if it is a list.

    `brief`: its jobs are kept for so short a time that it goes on until the sweeper has removed them.
    """

    def __init__(self, seed: int, threads: Threads, trace: list[str] | None = None) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.scheduler = Scheduler(threads)
        self.storm = Storm(self.chance, START)
        self.model = Model(chance=self.chance, freedom=self._freedom())
        self.calls = 0
        self.calm_from = START
        self.brief = False
        self.checks = Checks(self.scheduler, self.model)
        self.model.table.watch = self.checks.written
        self._trace = trace
        self._polling: dict[Task, Queue] = {}
        self._restarts: dict[Process, Callable[[], None]] = {}

    @property
    def now(self) -> int:
        """The virtual time, in milliseconds."""
        return self.scheduler.now

    def sleep(self, milliseconds: int) -> None:
        """The running task waits. Raises Killed."""
        self.scheduler.wait(self.now + milliseconds)

    def process(self, name: str, offset: int, restart: Callable[[], None]) -> Process:
        """A new process; when it crashes, `restart` is called a while later."""
        made = Process(name, offset)
        self._restarts[made] = restart
        self.checks.excuses.joined(made)
        return made

    def clock(self, process: Process) -> Callable[[], int]:
        """The clock of a process."""
        return lambda: self.scheduler.now + process.offset

    def crash(self, process: Process) -> None:
        """End a process now. Raises Killed when it is the one that runs."""
        if process.alive:
            self.say(process, "dies")
            self.scheduler.kill(process)
            self.checks.excuses.died(process)
            self.trouble(process, 10 * SECOND)
            self.scheduler.at(self.now + self.chance.randint(1, 10) * SECOND, self._restarts[process])
        if self.scheduler.current.process is process:
            raise Killed

    def trouble(self, process: Process, lasting: int = 0) -> None:
        """Something goes wrong with a process, for so many milliseconds."""
        until = self.now + lasting
        self.calm_from = max(self.calm_from, until)
        self.checks.excuses.troubled(process, until)

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
            self.checks.flaw(f"{process.name}: {error}: {error.__cause__!r}")
            raise
        if "MessageAttributes" in call.params and not self.storm.counts[Fault.ODD]:
            self.checks.flaw(f"{process.name} puts a message aside: {call.params['MessageAttributes']}")
        if call.operation in {"SendMessage", "SendMessageBatch", "ChangeMessageVisibility"}:
            self._rouse()
        if self._trace is not None:
            self.say(process, f"{call.operation} {_subject(call)} -> {_told(answer)}")
        return answer

    def await_message(self, call: Call[Any]) -> None:
        """The running task waits until there may be a message for `call` to receive."""
        task = self.scheduler.current
        self._polling[task] = queue = self.model.queues.of(call.params)
        try:
            self.scheduler.wait(queue.next_visible())
        finally:
            del self._polling[task]

    def _rouse(self) -> None:
        for task, queue in self._polling.items():
            at = queue.next_visible()
            if at is not None:
                self.scheduler.wake(task, at)

    def _freedom(self) -> Freedom:
        return Freedom(
            lag=lambda: self._sometimes(5 * SECOND),
            age=lambda: self._sometimes(2 * SECOND),
            leaves_out=lambda: self.storm.leaves_out(self.now),
            doubled=lambda: self.storm.doubles(self.now),
        )

    def _sometimes(self, longest: int) -> int:
        return self.chance.randint(0, longest) if self.chance.random() < 0.2 else 0


class Door:
    """The way of one process to AWS."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process
        self._chance = world.chance

    def send(self, call: Call[T]) -> T:
        """Send `call`, with what goes wrong. Raises AwsUnavailable and Killed."""
        world = self._world
        if not self._process.alive:
            raise Killed
        world.calls += 1
        if world.calls > MOST_CALLS:
            world.checks.flaw(f"more than {MOST_CALLS} calls: the jobs go round in circles")
        fault = world.storm.of_call(_kind(call), world.now)
        if fault is not None:
            world.say(self._process, f"{call.operation}: {fault}")
            answered: T = _SENDING[fault](self, call)
            return answered
        self._travel()
        answer = self._arrive(call)
        if self._chance.random() < 0.1:
            self._travel()
        return answer

    def _travel(self) -> None:
        self._world.sleep(int(2 + 200 * self._chance.random() ** 3))

    def _pause(self, call: Call[Any], low: int, high: int) -> None:
        lasting = self._chance.randint(low, high)
        if getattr(call, "urgent", False):
            lasting = min(lasting, URGENT_FAILS_WITHIN)
        self._world.trouble(self._process, lasting)
        if call.operation == "UpdateItem":
            _, _, job_id = call.params["Key"]["pk"]["S"].partition("#")
            self._world.checks.excuses.hindered(self._process, job_id, lasting)
        self._world.sleep(lasting)

    def _arrive(self, call: Call[T]) -> T:
        if call.operation == "SendMessage":
            return self._send_message(call)
        if call.operation == "SendMessageBatch":
            return self._send_messages(call)
        answer = self._world.carry_out(self._process, call)
        while call.operation == "ReceiveMessage" and call.params["WaitTimeSeconds"] and not answer:
            self._world.await_message(call)
            answer = self._world.carry_out(self._process, call)
        return answer

    def _send_message(self, call: Call[T]) -> T:
        world = self._world
        fault = world.storm.of_message(world.now)
        if fault is None:
            return world.carry_out(self._process, call)
        world.say(self._process, f"{call.operation} {_subject(call)}: {fault}")
        world.trouble(self._process)
        if fault is Fault.MESSAGE_LATE:
            lateness = self._chance.randint(1, 600) * SECOND
            world.scheduler.at(world.now + lateness, lambda: self._carry_out_unheard(call))
        return call.read({"MessageId": "0"})

    def _send_messages(self, call: Call[T]) -> T:
        """What is lost or late of a batch, its sender takes to be sent."""
        world = self._world
        there, told = list[Any](), list[Any]()
        for entry in call.params["Entries"]:
            alone = replace(call, params={**call.params, "Entries": [entry]})
            fault = world.storm.of_message(world.now)
            if fault is None:
                there.append(entry)
                continue
            world.say(self._process, f"{call.operation} {entry['MessageBody']}: {fault}")
            world.trouble(self._process)
            told.append({"Id": entry["Id"], "MessageId": "0"})
            if fault is Fault.MESSAGE_LATE:
                lateness = self._chance.randint(1, 600) * SECOND
                world.scheduler.at(world.now + lateness, partial(self._carry_out_unheard, alone))
        answer: Answer = {}
        if there:
            sent = Call(call.service, call.operation, {**call.params, "Entries": there}, read=lambda given: given)
            answer = world.carry_out(self._process, sent)
        return call.read({**answer, "Successful": [*answer.get("Successful", []), *told]})

    def _carry_out_unheard(self, call: Call[Any]) -> None:
        self._world.say(self._process, f"{call.operation}: late")
        self._unheard(call)

    def throttled(self, call: Call[T]) -> T:
        """Refused, until the SDK gave up."""
        self._pause(call, 50, 3000)
        raise AwsUnavailable(call, "ThrottlingException")

    def lost_request(self, call: Call[T]) -> T:
        """Never arrived."""
        self._pause(call, 1000, 30_000)
        raise AwsUnavailable(call, "ReadTimeoutError")

    def lost_reply(self, call: Call[T]) -> T:
        """Carried out, and nobody was told."""
        self._travel()
        self._unheard(call)
        self._pause(call, 1000, 30_000)
        raise AwsUnavailable(call, "ReadTimeoutError")

    def repeated(self, call: Call[T]) -> T:
        """Carried out, and again when the SDK had waited long enough for the reply."""
        self._travel()
        self._unheard(call)
        self._pause(call, 200, 30_000)
        return self._arrive(call)

    def belated(self, call: Call[T]) -> T:
        """On its way for longer than the caller waits."""
        world = self._world
        at = world.now + self._chance.randint(1, 150) * SECOND
        world.scheduler.at(at, lambda: self._carry_out_unheard(call))
        world.trouble(self._process, at - world.now)
        self._pause(call, 1000, 30_000)
        raise AwsUnavailable(call, "ReadTimeoutError")

    def crash_before(self, call: Call[T]) -> T:
        """The process dies, and sends nothing."""
        self._travel()
        self._world.crash(self._process)
        raise AssertionError(call)

    def crash_after(self, call: Call[T]) -> T:
        """The process dies before it hears the answer."""
        self._travel()
        self._unheard(call)
        self._world.crash(self._process)
        raise AssertionError(call)

    def slow(self, call: Call[T]) -> T:
        """Takes as long as the SDK has patience, either way."""
        self._pause(call, 1000, 60_000)
        answer = self._arrive(call)
        self._pause(call, 100, 20_000)
        return answer

    def frozen(self, call: Call[T]) -> T:
        """The whole process stands still, then goes on as if nothing had been."""
        lasting = self._chance.randint(20 * SECOND, 5 * MINUTE)
        self._process.frozen_until = self._world.now + lasting
        self._world.trouble(self._process, lasting)
        self._world.checks.excuses.hindered(self._process, "", lasting)
        self._travel()
        return self._arrive(call)

    def odd(self, call: Call[T]) -> T:
        """Something else goes wrong on the way there, or on the way back."""
        self._pause(call, 1, 50)
        if self._chance.random() < 0.5:
            self._unheard(call)
        raise self._chance.choice(ODD)

    def _unheard(self, call: Call[Any]) -> None:
        with contextlib.suppress(NewerRow):
            self._world.carry_out(self._process, call)


_SENDING: dict[Fault, Callable[[Door, Call[Any]], Any]] = {
    Fault.THROTTLED: Door.throttled,
    Fault.LOST_REQUEST: Door.lost_request,
    Fault.LOST_REPLY: Door.lost_reply,
    Fault.REPEATED: Door.repeated,
    Fault.BELATED: Door.belated,
    Fault.CRASH_BEFORE: Door.crash_before,
    Fault.CRASH_AFTER: Door.crash_after,
    Fault.SLOW: Door.slow,
    Fault.FROZEN: Door.frozen,
    Fault.ODD: Door.odd,
}


def _kind(call: Call[Any]) -> str:
    names = call.params.get("ExpressionAttributeNames", {}).values()
    is_beat = call.operation == "UpdateItem" and "lease_until" in names and "claimed_at" not in names
    return BEAT if is_beat and not _assigned(call.params) else call.operation


def _subject(call: Call[Any]) -> str:
    params = call.params
    match call.service:
        case "dynamodb":
            key = params.get("Key") or params.get("Item")
            named = f"{key['pk']['S']}/{key['sk']['S']}" if key else ""
            return f"{named} {_assigned(params)}".strip()
        case "sqs":
            return str(params.get("MessageBody") or params.get("ReceiptHandle") or len(params.get("Entries", "")))
        case "s3":
            return str(params.get("Key") or params.get("Prefix") or len(params["Delete"]["Objects"]))
        case "secretsmanager":
            return str(params["SecretId"])
        case "lambda":
            return str(params["Payload"])


def _assigned(params: Any) -> str:
    values = params.get("ExpressionAttributeValues", {})
    status = next((clause for clause in params.get("UpdateExpression", "").split(",") if "#status =" in clause), "")
    return str(values[status.split()[-1]]["S"]) if status else ""


def _told(answer: Any) -> str:
    job = getattr(answer, "job", answer)
    if hasattr(job, "attempt"):
        how = "" if job is answer else "refused: "
        return f"{how}{job.status} attempt {job.attempt}/{job.max_attempts} v{job.version}"
    return "a stream" if hasattr(answer, "read") else repr(answer)[:100]
