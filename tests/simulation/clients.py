"""Those who hand in jobs, through the service's own code, and may want them stopped."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from coatcheck.calls import AwsError, Call, Presign
from coatcheck.clock import SECOND
from coatcheck.errors import AlreadyFinished, Unavailable
from coatcheck.lifecycle import Status
from coatcheck.types import Catalog
from coatcheck.wire import SubmitRequest
from service import cancel, jobs, submit
from service.caller import Caller
from service.front_door import UVICORN
from service.tools import Tools
from tests.simulation.actors import DEPLOYMENT
from tests.simulation.scheduler import Process
from tests.simulation.world import Door, World

T = TypeVar("T")

TENANT = "tenant"


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


def client(world: World, catalog: Catalog, errand: Errand) -> Callable[[Process], None]:
    """One client's requests to a process of the API, in which they run. A client tries again what failed."""
    world.checks.errands += 1

    def play(process: Process) -> None:
        tools = Tools(
            DEPLOYMENT,
            catalog,
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
