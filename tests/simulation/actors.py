"""Who works in a schedule: polling workers, Lambda workers and sweepers, all of product code."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from coatcheck.authoring.types import Handlers
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage, delete, receive
from coatcheck.core.clock import SECOND
from coatcheck.core.flows.webhook_key import WebhookKey
from coatcheck.core.settings import Settings
from coatcheck.core.webhooks import Delivery, DeliveryAttempt
from coatcheck_worker import aws_lambda
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor.poller import Poller
from coatcheck_worker.sweep import sweep
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from coatcheck_worker.webhooks.webhook_messages import process_message
from tests.simulation.fault_history import SWEEP_EVERY
from tests.simulation.faults import ODD, Fault
from tests.simulation.faulty_transport import SimulatedTransport
from tests.simulation.item_kinds import is_backlog, is_newer
from tests.simulation.runners import SimulatedRunners
from tests.simulation.scheduler import Process
from tests.simulation.virtual_threads import heartbeat, parallel_map
from tests.simulation.world import World

QUEUE = "https://sqs.test/jobs"
IDLE = "https://sqs.test/idle"
"""That of a lane that nobody works off."""

WEBHOOKS = "https://sqs.test/webhooks"
_QUEUES = {"default": QUEUE, "idle": IDLE, "webhooks": WEBHOOKS}
DEPLOYMENT = Settings.from_env(
    {
        "COATCHECK_TABLE": "table",
        "COATCHECK_BUCKET": "bucket",
        "COATCHECK_QUEUES": json.dumps(_QUEUES),
        "COATCHECK_DEAD_LETTERS": json.dumps({lane: f"{url}-dead" for lane, url in _QUEUES.items()}),
        "COATCHECK_WEBHOOK_KEY": "key",
        "COATCHECK_WEBHOOK_TARGETS": "local",
    }
)
GRACE = 25
MOST_FAILURES = 4
"""Attempts, of which a receiver takes the last in any case: the waits of the schedule grow to a day."""

LAMBDA_TIMEOUT = 900 * SECOND
"""What the template sets for the worker, in milliseconds."""


@dataclass
class SimulatedReceiver:
    """Who is told by webhook; nothing is sent anywhere. It fails now and then, and its answer may get lost."""

    world: World
    process: Process

    def attempt(self, delivery: Delivery, _: Sequence[str], *, now: int) -> tuple[DeliveryAttempt, int | None]:
        """What `Sender.attempt` does."""
        world, chance = self.world, self.world.chance
        world.sleep(int(15_000 * chance.random() ** 4))
        world.checks.sent(self.process, delivery)
        fails = delivery.tries < MOST_FAILURES and chance.random() < 0.3
        if not fails or chance.random() < 0.5:
            world.checks.arrived(delivery)
        return DeliveryAttempt(now, 1, 500 if fails else 204), None


@dataclass
class ProcessStarter:
    """Starts the processes of a schedule, and starts them again when they crash."""

    world: World
    handlers: Callable[[Process], Handlers]
    _generations: dict[str, int] = field(default_factory=dict)

    def worker_tools(self, process: Process) -> Dependencies:
        """What a worker or a sweeper is made with."""
        world = self.world
        return Dependencies(
            SimulatedTransport(world, process),
            DEPLOYMENT,
            clock=world.clock(process),
            roll=world.chance.random,
            runners=SimulatedRunners(world, process, self.handlers(process)),
            ticker=heartbeat(world, process),
            parallel_map=parallel_map(world, process),
        )

    def start(self, name: str, offset: int, play: Callable[[Process], None]) -> Process:
        """Start a process that does `play`."""
        self._generations[name] = generation = self._generations.get(name, 0) + 1
        world = self.world

        def restart() -> None:
            later = world.now + world.chance.randint(1, 10) * SECOND
            world.scheduler.at(later, lambda: discard(self.start(name, offset, play)))

        process = world.process(f"{name}.{generation}", offset, restart)
        world.scheduler.spawn(process, lambda: play(process))
        self._maybe_kill(process)
        return process

    def _maybe_kill(self, process: Process) -> None:
        world = self.world

        def kill() -> None:
            if process.alive and world.fault_injector.is_active(world.now):
                world.fault_injector.note(Fault.KILLED)
                world.crash(process)

        if world.chance.random() < 0.03:
            world.scheduler.at(world.now + world.chance.randint(1, 300) * SECOND, kill)

    def poller(self, process: Process) -> None:
        """Do as a polling worker does."""
        world = self.world
        runners = world.chance.randint(1, 2)
        poller = Poller(self.worker_tools(process), QUEUE, grace=GRACE, runners=runners)
        ends = threading.Event()
        self._maybe_drain(process, poller, ends)
        for _ in range(runners - 1):
            world.scheduler.spawn(process, lambda: self._poll(process, poller, ends))
        self._poll(process, poller, ends)

    def _poll(self, process: Process, poller: Poller, ends: threading.Event) -> None:
        """Run one job after another, as each thread of a poller does; the last ends the process."""
        while not ends.is_set():
            try:
                received = poller.receive(1)
            except AwsError:
                self.world.sleep(SECOND)
                continue
            except ODD:
                ends.set()
                break
            for one in received:
                with contextlib.suppress(AwsError, *ODD):
                    poller.process(one)
        if poller.idle:
            self.world.crash(process)

    def _maybe_drain(self, process: Process, poller: Poller, ends: threading.Event) -> None:
        world = self.world

        def drain() -> None:
            if not process.alive or not world.fault_injector.is_active(world.now):
                return
            world.fault_injector.note(Fault.DRAINED)
            world.say(process, "is told to end")
            world.trouble(process, GRACE * SECOND)
            ends.set()
            if poller.idle:
                world.crash(process)
            else:
                world.scheduler.at(world.now + GRACE * SECOND, poller.hand_back)

        if world.chance.random() < 0.15:
            world.scheduler.at(world.now + world.chance.randint(1, 300) * SECOND, drain)

    def function(self, process: Process) -> None:
        """Do as Lambda does for the worker: receive, invoke, delete what was done; kill what takes too long."""
        world = self.world
        dependencies = self.worker_tools(process)
        event_source = SimulatedTransport(world, process)
        while True:
            try:
                for received in event_source.send(receive(QUEUE, wait=20)):
                    with self._limited(process):
                        event = {"Records": [_record(received)]}
                        deadline = _lambda_deadline(dependencies.clock())
                        report = aws_lambda.run_batch(dependencies, event, deadline=deadline)
                    if not report["batchItemFailures"]:
                        event_source.send(delete(received))
            except (AwsError, *ODD):
                world.sleep(SECOND)

    @contextmanager
    def _limited(self, process: Process) -> Iterator[None]:
        world, began = self.world, self.world.now
        over = False

        def kill() -> None:
            if process.alive and not over:
                world.checks.outlived(process, began)
                world.crash(process)

        world.scheduler.at(began + LAMBDA_TIMEOUT, kill)
        try:
            yield
        finally:
            over = True

    def deliverer(self, process: Process) -> None:
        """Do as the deliverer of webhooks does, with one thread, whose endpoints have room now and then."""
        dependencies, chance = self.worker_tools(process), self.world.chance
        delivery_context = DeliveryContext(dependencies, SimulatedReceiver(self.world, process), WebhookKey(b"k" * 32))
        while True:
            try:
                for received in dependencies.transport.send(receive(WEBHOOKS, wait=20)):
                    if process_message(delivery_context, received, lambda _: nullcontext(chance.random() < 0.5)):
                        dependencies.transport.send(delete(received))
            except (AwsError, *ODD):
                self.world.sleep(SECOND)

    def sweeper(self, process: Process) -> None:
        """Do as the schedule of the sweeper does, but leave out the sweeps that find nothing."""
        dependencies = self.worker_tools(process)
        began = self.world.now
        while True:
            # a sweep comes each minute, however long the one before it took
            self._await_overdue(process, began + SWEEP_EVERY)
            began = self.world.now
            try:
                sweep(dependencies, until=dependencies.clock() + 30 * SECOND)
            except (AwsError, *ODD):
                continue

    def _await_overdue(self, process: Process, first_look: int) -> None:
        world = self.world
        task = world.scheduler.current
        clock = world.clock(process)

        def look() -> None:
            if any(
                not is_newer(item) and not (is_backlog(item) and world.checks.all_done())
                for item in world.model.table.overdue(clock())
            ):
                world.scheduler.wake(task, world.now)
            elif process.alive:
                world.scheduler.at(world.now + SWEEP_EVERY * (10 if world.checks.all_done() else 1), look)

        world.scheduler.at(max(world.now, first_look), look)
        world.scheduler.wait(None)


def _lambda_deadline(now: int) -> int:
    return now + LAMBDA_TIMEOUT - aws_lambda.MARGIN


def _record(received: ReceivedMessage) -> dict[str, Any]:
    return {
        "messageId": received.message_id,
        "receiptHandle": received.receipt_handle,
        "body": received.body,
        "eventSourceARN": "arn:aws:sqs:test:0:jobs",
        "attributes": {"ApproximateReceiveCount": str(received.receive_count)},
    }


def discard(_: object) -> None:
    """Forget a value."""
