"""How a client of the simulation asks: by the service's own code, in a process of the API, behind its door."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Self, TypeVar, cast

from coatcheck.authoring.types import Catalog
from coatcheck.core.aws.call import AwsError, Call, Presign, PresignedUrl
from coatcheck.core.clock import SECOND
from coatcheck.core.errors import Unavailable
from coatcheck.core.tenant_limits import TenantLimits
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.front_door import UVICORN
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.limits_cache import LimitsCache
from tests.simulation.actors import DEPLOYMENT
from tests.simulation.faults import ODD
from tests.simulation.faulty_transport import SimulatedTransport
from tests.simulation.scheduler import Process
from tests.simulation.slots import TENANT
from tests.simulation.world import World

T = TypeVar("T")

__all__ = ["TENANT"]


class AsyncBytes:
    """A stream of the model for whoever awaits what it reads."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stream.close()

    async def iter_chunks(self, size: int) -> AsyncIterator[bytes]:
        """All of it, in pieces."""
        while chunk := self._stream.read(size):
            yield chunk


class AsyncSimulatedTransport:
    """A worker's door for the service, which awaits."""

    def __init__(self, transport: SimulatedTransport) -> None:
        self._transport = transport

    async def send(self, call: Call[T]) -> T:
        """Send `call`. Raises AwsUnavailable, Killed, and what is not AWS's."""
        answer: Any = self._transport.send(call)
        return cast("T", AsyncBytes(answer) if isinstance(answer, io.BytesIO) else answer)

    async def presign(self, presign: Presign) -> PresignedUrl:
        """A link that nobody follows: a client of the simulation sends its parts by calls."""
        return PresignedUrl(f"https://s3.test/{presign.operation}", presign.expires_in)

    async def aclose(self) -> None:
        """Nothing is open."""


class DirectLimits(LimitsCache):
    """Reads limits without a task: there is no loop for one, and nobody else asks at once."""

    async def get(self, tenant: str, *, now: int, read: Callable[[], Awaitable[TenantLimits]]) -> TenantLimits:
        """The limits, at most half a minute old."""
        if (known := self._limits.fresh(tenant, now)) is not None:
            return known
        limits = await read()
        self._limits.store(tenant, limits, now)
        return limits


def context_of(world: World, catalog: Catalog, process: Process) -> RequestContext:
    """The one client there is, at a process of the API."""
    transport = AsyncSimulatedTransport(SimulatedTransport(world, process))
    dependencies = Dependencies(
        DEPLOYMENT,
        catalog,
        transport,
        UVICORN,
        world.clock(process),
        world.chance.randbytes,
        limits=DirectLimits(),
    )
    return RequestContext(TENANT, "https://api.test", dependencies)


def retry_until_answered(world: World, request: Callable[[], None]) -> None:
    """Make a request again and again, until it is answered."""
    while not try_once(world, request):
        pass


def try_once(world: World, request: Callable[[], None]) -> bool:
    """Whether a request was answered; the client waits a while where it was not."""
    try:
        request()
    except (AwsError, Unavailable, *ODD):
        world.sleep(world.chance.randint(1, 20) * SECOND)
        return False
    return True


def run_without_loop(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it may await nothing but its door, which has the answer at once."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    raise AssertionError("the service awaits what is not AWS")


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """As `run_without_loop`, for work that gathers other work: it needs a loop, which is slow to make."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
