"""The lean transport for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from coatcheck.aws_transport.async_pool import AsyncPool
from coatcheck.aws_transport.aws_json import Reply, encode
from coatcheck.aws_transport.credentials import AwsCredentials, NoCredentials
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.exchange import Failure
from coatcheck.aws_transport.links import Link, Links
from coatcheck.aws_transport.protocols import OpenableTransport
from coatcheck.aws_transport.transport_config import TransportConfig
from coatcheck.core.aws.call import Call, Presign, PresignedUrl

T = TypeVar("T")

MakeTransport = Callable[[], OpenableTransport]


class AsyncLeanTransport:
    """AWS without an SDK where that is cheaper. What it does not send itself goes to what `make_other` makes.

    All calls must come from one event loop.
    """

    def __init__(
        self, environment: AwsEnvironment, make_other: Callable[[], OpenableTransport], config: TransportConfig
    ) -> None:
        self._links: Links[AsyncPool] = Links(environment, AsyncPool, config)
        self._make_other = make_other
        self._other: OpenableTransport | None = None

    async def send(self, call: Call[T]) -> T:
        """Send `call` and read its answer. Raises AwsUnavailable or AwsRefused."""
        link = self._links.link(call.service)
        if link is None:
            return await self._sdk().send(call)
        body = encode(call)
        flow = self._links.flow(call)
        pause = next(flow)
        while True:
            if pause:
                await asyncio.sleep(pause)
            outcome = await self._attempt(link, call, body)
            try:
                pause = flow.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Sign a URL; nothing is sent."""
        return await self._sdk().presign(presign)

    async def aclose(self) -> None:
        """Close every connection. The transport can be used again."""
        for pool in self._links.pools():
            pool.close()
        if self._other is not None:
            await self._other.aclose()

    async def open(self) -> None:
        """Load the SDK now, before it is needed. This opens no connection."""
        await self._sdk().open()

    def _sdk(self) -> OpenableTransport:
        self._other = self._other or self._make_other()
        return self._other

    async def _attempt(self, link: Link[AsyncPool], call: Call[Any], body: bytes) -> Reply | Failure:
        try:
            credentials = await self._credentials()
        except NoCredentials:
            return Failure("NoCredentials")
        request = link.writer.write(call, body, credentials, self._links.clock.now())
        return await link.pool.send(request, self._links.timeouts(call))

    async def _credentials(self) -> AwsCredentials:
        source = self._links.credentials
        return await asyncio.to_thread(source.current) if source.is_blocking else source.current()
