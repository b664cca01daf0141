"""`python -m bench.webhook_receivers FILE`: a good receiver of webhooks, a slow one, and one that says nothing.

Prints the port of each. The good one writes a line `webhook-id milliseconds` to the file for each that arrives.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TextIO

RespondFunction = Callable[[bytes, StreamWriter], Awaitable[None]]

MIN_DELAY, MAX_DELAY = 0.5, 1.0
"""Seconds that the slow one takes."""


async def serve_all(log: TextIO) -> None:
    """Serve until killed; what arrives at the good one is noted in `log`."""

    async def healthy(head: bytes, writer: StreamWriter) -> None:
        line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"webhook-id: "))
        log.write(f"{line[12:].decode()} {time.time_ns() // 1_000_000}\n")
        await _no_content(writer)

    responders: list[RespondFunction] = [healthy, _slow, _dead]
    servers = [await asyncio.start_server(_connection_handler(respond), "127.0.0.1", 0) for respond in responders]
    sys.stdout.write(" ".join(str(server.sockets[0].getsockname()[1]) for server in servers) + "\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _connection_handler(respond: RespondFunction) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await respond(head, writer)
        writer.close()

    return serve


async def _slow(_: bytes, writer: StreamWriter) -> None:
    await asyncio.sleep(random.uniform(MIN_DELAY, MAX_DELAY))  # noqa: S311 - no secret
    await _no_content(writer)


async def _dead(_: bytes, __: StreamWriter) -> None:
    await asyncio.sleep(60)


async def _no_content(writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 204 Fine\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", buffering=1) as file:
        asyncio.run(serve_all(file))
