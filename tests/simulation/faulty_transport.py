"""The way of a process to AWS, on which its calls go wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from coatcheck.core.aws.call import AwsResponse, AwsUnavailable, Call
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.clock import MINUTE, SECOND
from tests.simulation.faults import ODD, Fault
from tests.simulation.scheduler import Killed, Process
from tests.simulation.trace_format import kind, subject
from tests.simulation.world import World

T = TypeVar("T")

URGENT_FAILS_WITHIN = 10 * SECOND
"""The patience of the doors with a heartbeat."""


class SimulatedTransport:
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
        if world.calls > world.most_calls:
            world.checks.violation(f"more than {world.most_calls} calls: the jobs go round in circles")
        fault = world.fault_injector.of_call(kind(call), world.now)
        if fault is not None:
            world.say(self._process, f"{call.operation}: {fault}")
            answered: T = _SENDING[fault](self, call)
            return answered
        self._delay()
        answer = self._arrive(call)
        if self._chance.random() < 0.1:
            self._delay()
        return answer

    def _delay(self) -> None:
        self._world.sleep(int(2 + 200 * self._chance.random() ** 3))

    def _pause(self, call: Call[Any], low: int, high: int) -> None:
        lasting = self._chance.randint(low, high)
        if getattr(call, "urgent", False):
            lasting = min(lasting, URGENT_FAILS_WITHIN)
        self._world.trouble(self._process, lasting)
        if call.operation in {"UpdateItem", "TransactWriteItems"}:
            written = call.params if call.operation == "UpdateItem" else call.params["TransactItems"][0]["Update"]
            _, _, job_id = written["Key"]["pk"]["S"].partition("#")
            self._world.checks.fault_history.hindered(self._process, job_id, lasting)
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
        fault = world.fault_injector.of_message(world.now)
        if fault is None:
            return world.carry_out(self._process, call)
        world.say(self._process, f"{call.operation} {subject(call)}: {fault}")
        world.trouble(self._process)
        if fault is Fault.MESSAGE_LATE:
            lateness = self._chance.randint(1, 600) * SECOND
            world.scheduler.at(world.now + lateness, lambda: self._carry_out_unheard(call))
        return call.read({"MessageId": "0"})

    def _send_messages(self, call: Call[T]) -> T:
        """What is lost or late of a batch, its sender takes to be sent."""
        world = self._world
        there, successful = list[Any](), list[Any]()
        for entry in call.params["Entries"]:
            alone = replace(call, params={**call.params, "Entries": [entry]})
            fault = world.fault_injector.of_message(world.now)
            if fault is None:
                there.append(entry)
                continue
            world.say(self._process, f"{call.operation} {entry['MessageBody']}: {fault}")
            world.trouble(self._process)
            successful.append({"Id": entry["Id"], "MessageId": "0"})
            if fault is Fault.MESSAGE_LATE:
                lateness = self._chance.randint(1, 600) * SECOND
                world.scheduler.at(world.now + lateness, partial(self._carry_out_unheard, alone))
        answer: AwsResponse = {}
        if there:
            sent = Call(call.service, call.operation, {**call.params, "Entries": there}, read=lambda given: given)
            answer = world.carry_out(self._process, sent)
        return call.read({**answer, "Successful": [*answer.get("Successful", []), *successful]})

    def _carry_out_unheard(self, call: Call[Any]) -> None:
        self._world.say(self._process, f"{call.operation}: late")
        if call.service == "s3":
            self._world.checks.carried_out_late.add(call.params.get("Key", ""))
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
        self._delay()
        self._unheard(call)
        self._pause(call, 1000, 30_000)
        raise AwsUnavailable(call, "ReadTimeoutError")

    def repeated(self, call: Call[T]) -> T:
        """Carried out, and again when the SDK had waited long enough for the reply."""
        self._delay()
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
        self._delay()
        self._world.crash(self._process)
        raise AssertionError(call)

    def crash_after(self, call: Call[T]) -> T:
        """The process dies before it hears the answer."""
        self._delay()
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
        self._world.checks.fault_history.hindered(self._process, "", lasting)
        self._delay()
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


_SENDING: dict[Fault, Callable[[SimulatedTransport, Call[Any]], Any]] = {
    Fault.THROTTLED: SimulatedTransport.throttled,
    Fault.LOST_REQUEST: SimulatedTransport.lost_request,
    Fault.LOST_REPLY: SimulatedTransport.lost_reply,
    Fault.REPEATED: SimulatedTransport.repeated,
    Fault.BELATED: SimulatedTransport.belated,
    Fault.CRASH_BEFORE: SimulatedTransport.crash_before,
    Fault.CRASH_AFTER: SimulatedTransport.crash_after,
    Fault.SLOW: SimulatedTransport.slow,
    Fault.FROZEN: SimulatedTransport.frozen,
    Fault.ODD: SimulatedTransport.odd,
}
