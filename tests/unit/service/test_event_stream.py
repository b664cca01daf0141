"""The response that sends a stream: what it frees when its reader is too slow or goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from coatcheck.core.errors import TooManyStreams
from coatcheck_service.http.event_stream import EventStreamResponse
from coatcheck_service.tenant_slots import TenantSlots

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


class Connection:
    """A client that takes so many messages, and then no more; `gone` says when it goes away."""

    def __init__(self, takes: int) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self._takes = takes

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if len(self.sent) == self._takes:
            await asyncio.Event().wait()
        self.sent.append(message)


class Events:
    """A stream without end that notices when it is closed."""

    def __init__(self) -> None:
        self.closed = False

    async def __call__(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"data: x\n\n"
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def test_a_reader_who_takes_nothing_is_cut_off() -> None:
    slots, events, connection = TenantSlots(), Events(), Connection(takes=3)
    response = EventStreamResponse(events(), slots.acquire("t", limit=1), 0.05)
    with pytest.raises(ClientDisconnect):
        await response(SCOPE, connection.receive, connection.send)
    assert len(connection.sent) == 3
    assert events.closed
    with slots.acquire("t", limit=1) as granted:
        assert granted


@pytest.mark.parametrize("takes", [3, 1_000_000], ids=["slow", "fast"])
async def test_a_reader_who_goes_away_is_noticed(takes: int) -> None:
    slots, events, connection = TenantSlots(), Events(), Connection(takes)
    response = EventStreamResponse(events(), slots.acquire("t", limit=1), 60)
    asyncio.get_running_loop().call_later(0.02, connection.gone.set)
    async with asyncio.timeout(10):
        await response(SCOPE, connection.receive, connection.send)
    assert events.closed
    with slots.acquire("t", limit=1) as granted:
        assert granted


async def test_without_a_slot_nothing_is_sent() -> None:
    slots, connection = TenantSlots(), Connection(takes=3)
    response = EventStreamResponse(Events()(), slots.acquire("t", limit=0), 60)
    with pytest.raises(TooManyStreams):
        await response(SCOPE, connection.receive, connection.send)
    assert not connection.sent
