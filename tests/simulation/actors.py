"""Who takes part in a schedule: polling workers, Lambda workers, sweepers and clients, all of product code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from coatcheck.calls import AwsError, Call, Presign
from coatcheck.clock import SECOND
from coatcheck.deployment import Deployment
from coatcheck.errors import AlreadyFinished, Unavailable
from coatcheck.lifecycle import Status
from coatcheck.queues import Received, delete, receive
from coatcheck.types import Catalog, Handlers
from coatcheck.wire import SubmitRequest
from service import cancel, jobs, submit
from service.caller import Caller
from service.front_door import UVICORN
from service.tools import Tools as ServiceTools
from tests.simulation.checks import SWEEP_EVERY
from tests.simulation.faults import Fault
from tests.simulation.scheduler import Process
from tests.simulation.world import Door, World
from worker import aws_lambda
from worker.heart import Look
from worker.poller import Poller
from worker.sweep import sweep
from worker.tools import Tools

T = TypeVar("T")

QUEUE = "https://sqs.test/jobs"
DEPLOYMENT = Deployment.from_env(
    {"COATCHECK_TABLE": "table", "COATCHECK_BUCKET": "bucket", "COATCHECK_QUEUES": f'{{"default": "{QUEUE}"}}'}
)
TENANT = "tenant"
GRACE = 25


class VirtualLock:
    """A lock whose waiting takes virtual time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = False

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take the lock, waiting for it if `blocking`; whether it was taken."""
        while self._held and blocking:
            self._world.sleep(SECOND)
        taken = not self._held
        self._held = True
        return taken

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self._held = False


def heartbeat(world: World, process: Process) -> Callable[[Look], Any]:
    """The pace of the hearts of a process, in virtual time."""
    tick = world.chance.randint(500, 4000)

    @contextmanager
    def pace(look: Look) -> Iterator[None]:
        attempt = look.__self__._on_stubborn.__self__  # type: ignore[attr-defined]  # both are bound methods
        # the one thing in an attempt that blocks its thread, and with it the whole schedule
        attempt._settling = VirtualLock(world)
        quiet = looking = False

        def beat() -> None:
            nonlocal looking
            going_on = True
            while going_on and not quiet:
                looking = True
                going_on = look()
                looking = False
                world.sleep(tick)

        def begin() -> None:
            if not quiet and process.alive:
                world.scheduler.spawn(process, beat)

        world.scheduler.at(world.now + tick, begin)
        try:
            yield
        finally:
            quiet = True
            while looking and process.alive:
                world.sleep(100)

    return pace


@dataclass
class Cast:
    """Starts the processes of a schedule, and starts them again when they crash."""

    world: World
    handlers: Callable[[Process], Handlers]
    catalog: Catalog
    _generations: dict[str, int] = field(default_factory=dict)

    def worker_tools(self, process: Process) -> Tools:
        """What a worker or a sweeper is made with."""
        world = self.world
        return Tools(
            Door(world, process),
            DEPLOYMENT,
            self.handlers(process),
            clock=world.clock(process),
            roll=world.chance.random,
            pace=heartbeat(world, process),
            end_process=lambda _: world.crash(process),
        )

    def start(self, name: str, offset: int, play: Callable[[Process], None]) -> Process:
        """Start a process that does `play`."""
        self._generations[name] = generation = self._generations.get(name, 0) + 1
        process = self.world.process(f"{name}.{generation}", offset, lambda: void(self.start(name, offset, play)))
        self.world.scheduler.spawn(process, lambda: play(process))
        return process

    def poller(self, process: Process) -> None:
        """Do as a polling worker does."""
        poller = Poller(self.worker_tools(process), QUEUE, grace=GRACE)
        ends = threading.Event()
        self._drain_some_day(process, poller, ends)
        while not ends.is_set():
            try:
                poller.step()
            except AwsError:
                self.world.sleep(SECOND)
        self.world.crash(process)

    def _drain_some_day(self, process: Process, poller: Poller, ends: threading.Event) -> None:
        world = self.world

        def drain() -> None:
            if not process.alive or not world.storm.rages(world.now):
                return
            world.storm.note(Fault.DRAINED)
            world.say(process, "is told to end")
            world.trouble(process, GRACE * SECOND)
            ends.set()
            if poller._attempt is None:
                world.crash(process)
            else:
                world.scheduler.at(world.now + GRACE * SECOND, poller._hand_back)

        if world.chance.random() < 0.15:
            world.scheduler.at(world.now + world.chance.randint(1, 300) * SECOND, drain)

    def function(self, process: Process) -> None:
        """Do as Lambda does for the worker: receive, invoke, delete what was done."""
        world = self.world
        tools = self.worker_tools(process)
        event_source = Door(world, process)
        while True:
            try:
                for received in event_source.send(receive(QUEUE, wait=20)):
                    if aws_lambda._handled(tools, _record(received), tools.clock() + 885 * SECOND):
                        event_source.send(delete(received))
            except AwsError:
                world.sleep(SECOND)

    def sweeper(self, process: Process) -> None:
        """Do as the schedule of the sweeper does, but leave out the sweeps that find nothing."""
        tools = self.worker_tools(process)
        while True:
            self._await_overdue(process)
            try:
                sweep(tools, until=tools.clock() + 30 * SECOND)
            except AwsError:
                continue

    def _await_overdue(self, process: Process) -> None:
        world = self.world
        task = world.scheduler.current
        clock = world.clock(process)

        def look() -> None:
            if world.model.table.overdue(clock()):
                world.scheduler.wake(task, world.now)
            elif process.alive:
                world.scheduler.at(world.now + SWEEP_EVERY * (10 if world.checks.all_done() else 1), look)

        world.scheduler.at(world.now + SWEEP_EVERY, look)
        world.scheduler.wait(None)


@dataclass
class Errand:
    """What one client wants: a job, under an idempotency key if it has one, and perhaps its end."""

    at: int
    asked: SubmitRequest
    key: str | None
    cancel_after: int | None
    job_id: str | None = None
    given_up: bool = False


class AsyncDoor:
    """A worker's door for the service, which awaits."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def send(self, call: Call[T]) -> T:
        """Send `call`."""
        return self._door.send(call)

    async def presign(self, presign: Presign) -> str:
        """Never asked for."""
        raise NotImplementedError(presign)

    async def aclose(self) -> None:
        """Nothing is open."""


def client(cast: Cast, errand: Errand) -> Callable[[Process], None]:
    """One client's requests to a process of the API, in which they run. A client tries again what failed."""
    world = cast.world
    world.checks.errands += 1

    def play(process: Process) -> None:
        tools = ServiceTools(
            DEPLOYMENT,
            cast.catalog,
            AsyncDoor(Door(world, process)),
            UVICORN,
            world.clock(process),
            world.chance.randbytes,
        )
        caller = Caller(TENANT, "https://api.test", tools)
        world.scheduler.wait(errand.at)
        while errand.job_id is None and not errand.given_up:
            _try(world, lambda: _submit(world, caller, errand))
        if errand.cancel_after is not None and errand.job_id is not None:
            world.scheduler.wait(errand.at + errand.cancel_after)
            while errand.cancel_after is not None:
                _try(world, lambda: _cancel(world, caller, errand))
        world.checks.errands -= 1

    return play


def _try(world: World, request: Callable[[], None]) -> None:
    try:
        request()
    except (AwsError, Unavailable):
        world.sleep(world.chance.randint(1, 20) * SECOND)


def _submit(world: World, caller: Caller, errand: Errand) -> None:
    # without a key it would be another job: whoever has none must not try twice
    errand.given_up = errand.key is None
    job = _driven(submit.submit(caller, submit.Order(errand.asked, errand.key))).job
    errand.job_id = job.id
    world.checks.accepted[job.id] = job


def _cancel(world: World, caller: Caller, errand: Errand) -> None:
    assert errand.job_id is not None
    try:
        job = _driven(_stop(caller, errand.job_id))
    except AlreadyFinished:
        job = None
    if job is not None and job.status in {Status.CANCELING, Status.CANCELED}:
        world.checks.canceled.add(job.id)
    errand.cancel_after = None


async def _stop(caller: Caller, job_id: str) -> Any:
    return await cancel.cancel(caller, await jobs.find_kept(caller, job_id))


def _driven(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it may await nothing but its door, which has the answer at once."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    raise AssertionError("the service awaits what is not AWS")


def _record(received: Received) -> dict[str, str]:
    return {
        "messageId": received.message_id,
        "receiptHandle": received.handle,
        "body": received.body,
        "eventSourceARN": "arn:aws:sqs:test:0:jobs",
    }


def void(_: object) -> None:
    """Forget a value."""
