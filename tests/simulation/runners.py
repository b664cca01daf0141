"""The runners of a supervisor: each a process of its own, that dies alone, or with its supervisor or soon after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from coatcheck.authoring.types import Handlers
from coatcheck.core.aws.call import Call
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Progress
from coatcheck_worker.protocol import RunJob
from coatcheck_worker.runner.execution import EndedAttempt, run_handler
from coatcheck_worker.runners import AttemptPort, Died, Ended, RunnerNotStarted, ServedType
from tests.direct_runners import over_the_wire, served_types
from tests.simulation.faults import Fault
from tests.simulation.faulty_transport import SimulatedTransport
from tests.simulation.scheduler import Killed, Process, Task
from tests.simulation.world import World

T = TypeVar("T")

OUTLIVES_SUPERVISOR = 2 * SECOND
"""How long a runner may go on after the death of its supervisor: requests that are under way are carried out."""

DEATH_NOTICED_WITHIN = SECOND
NOT_STARTED = 0.03
KILLED_ALONE = 0.08


@dataclass
class SimulatedRunners:
    """The runners of the process `supervisor`. They are kept from one attempt to the next."""

    world: World
    supervisor: Process
    handlers: Handlers
    _idle: list[SimulatedRunner] = field(default_factory=list)
    _started: int = 0

    @property
    def served(self) -> Mapping[str, ServedType]:
        """What a forkserver says of the handlers."""
        return served_types(self.handlers)

    @contextmanager
    def take(self, _: str) -> Iterator[SimulatedRunner]:
        """A runner that is alive, and left no traces. Raises RunnerNotStarted."""
        world = self.world
        if world.fault_injector.is_active(world.now) and world.chance.random() < NOT_STARTED:
            world.fault_injector.note(Fault.NOT_STARTED)
            raise RunnerNotStarted("no process can be forked")
        idle = [runner for runner in self._idle if runner.usable]
        runner = idle.pop() if idle else self._start()
        self._idle = idle
        runner.begin()
        try:
            yield runner
        finally:
            if runner.usable:
                self._idle.append(runner)
            elif self.supervisor.alive:
                runner.kill()

    def _start(self) -> SimulatedRunner:
        world, supervisor = self.world, self.supervisor
        self._started += 1
        runner = SimulatedRunner(world, supervisor, self.handlers, f"{supervisor.name}/{self._started}")
        supervisor.when_dead.append(lambda: world.scheduler.at(world.now + _belated(world), runner.kill))
        return runner


def _belated(world: World) -> int:
    return world.chance.choice((0, world.chance.randint(0, OUTLIVES_SUPERVISOR)))


class SimulatedRunner:
    """Runs one attempt after the other in a process of its own."""

    def __init__(self, world: World, supervisor: Process, handlers: Handlers, name: str) -> None:
        self._world, self._supervisor, self._handlers = world, supervisor, handlers
        self.process = world.process(name, supervisor.offset, self._has_died)
        self._transport = S3Transport(world, self.process)
        self._port = RunnerPort()
        self._waiting: Task | None = None
        self._job: RunJob | None = None
        self._last = False

    @property
    def usable(self) -> bool:
        """Whether it can run another attempt."""
        return self.process.alive and not self._last

    def begin(self) -> None:
        """Another attempt follows, which has to end if `stop` is called before it runs."""
        self._port = RunnerPort()

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """A folder that no handler of the simulation writes to."""
        yield Path("/none")

    def run(self, job: RunJob, body: bytes, port: AttemptPort) -> Ended | Died:
        """Run the attempt."""
        world, ended = self._world, list[EndedAttempt]()
        if self._last:
            world.checks.violation(f"{self.process.name} runs {job.id} though another job left traces in it")
        direct = self._port
        direct.supervisor = port
        self._waiting, self._job = world.scheduler.current, job

        def work() -> None:
            handler, clock = self._handlers[job.type], world.clock(self.process)
            answer = run_handler(handler, job, body, port=direct, transport=self._transport, clock=clock)
            if not self.process.alive:
                # run_handler takes whatever a handler raises: a dead process answers nothing
                raise Killed
            ended.append(answer)
            # what happens to this process from now on does not concern the attempt, even if its supervisor stands still
            self._job = None
            self._wake(0)

        world.scheduler.spawn(self.process, work)
        self._maybe_kill(job)
        world.scheduler.wait(None)
        self._waiting = self._job = None
        if not ended:
            return Died("its process was killed by signal 9 (SIGKILL)")
        self._last = ended[0].outcome.last
        return over_the_wire(ended[0])

    def stop(self, reason: str) -> None:
        """Let the handler know that the attempt has to end."""
        self._port.stop(reason)
        if self._job is not None:
            self._world.checks.runner_deaths.stopped(_attempt_key(self._job), reason)

    def kill(self) -> None:
        """End its process."""
        if self.process.alive:
            self._world.crash(self.process)

    def _maybe_kill(self, job: RunJob) -> None:
        world = self._world

        def kill() -> None:
            if self._job is job and world.fault_injector.is_active(world.now):
                world.fault_injector.note(Fault.RUNNER_KILLED)
                self.kill()

        if world.chance.random() < KILLED_ALONE:
            world.scheduler.at(world.now + int(120 * SECOND * world.chance.random() ** 3), kill)

    def _has_died(self) -> None:
        if self._job is not None and self._supervisor.alive:
            key, stop = _attempt_key(self._job), self._port.stop_reason
            self._world.checks.runner_deaths.died(self._supervisor, key, stop)
            self._wake(self._world.chance.randint(0, DEATH_NOTICED_WITHIN))

    def _wake(self, delay: int) -> None:
        if self._waiting is not None:
            self._world.scheduler.wake(self._waiting, self._world.now + delay)


class S3Transport(SimulatedTransport):
    """The way of a runner to S3, and to nothing else."""

    def send(self, call: Call[T]) -> T:
        """Send `call`. Raises AwsUnavailable and Killed."""
        if call.service != "s3":
            self._world.checks.violation(f"{self._process.name} asks {call.service}: {call.operation}")
        return super().send(call)


class RunnerPort:
    """The supervisor of one attempt, as its runner sees it."""

    supervisor: AttemptPort

    def __init__(self) -> None:
        self._on_stop: Callable[[], object] = lambda: None
        self.stop_reason: str | None = None

    def stop(self, reason: str) -> None:
        """The attempt has to end."""
        self.stop_reason = reason
        self._on_stop()

    def call_when_stopped(self, action: Callable[[], object]) -> None:
        """Call `action` when the attempt has to end, or at once if it already has to."""
        self._on_stop = action
        if self.stop_reason is not None:
            action()

    def report_progress(self, progress: Progress) -> None:
        """Hand it on."""
        self.supervisor.report_progress(progress)

    def read_secret(self, name: str) -> str:
        """No handler of the simulation asks for one."""
        raise AssertionError(name)

    def checkpoint_room(self) -> int:
        """Hand it on."""
        return self.supervisor.checkpoint_room()


def _attempt_key(job: RunJob) -> tuple[str, int, int]:
    return job.id, job.created_at, job.attempt
