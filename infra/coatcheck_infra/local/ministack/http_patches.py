"""Patches of how MiniStack takes requests: each makes its new function from its old one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def match_any_media_type(matches: Function) -> Function:
    """`matches` for BinaryMediaTypes as SAM writes them: `*~1*`, which is any type, and none at all."""

    def matches_unescaped(media_type: str | None, binary: list[str] | None) -> Any:
        types = [one.replace("~1", "/") for one in binary or []]
        return "*/*" in types or matches(media_type, types)

    return matches_unescaped


def treat_as_tls(pin: Function) -> Function:
    """`pin` for a request over TLS: loopback stands for it, so that policies which demand TLS can be enforced."""
    return lambda source_ip, _secure: pin(source_ip, True)


def cancel_on_disconnect(app: Function) -> Function:
    """`app` that ends a receive whose client has gone, which would take the next message and lose it.

    Else each restart of a worker costs jobs the time until the sweeper sends their messages again.
    """

    async def served(scope: dict[str, Any], receive: Function, send: Function) -> None:
        if (b"x-amz-target", b"AmazonSQS.ReceiveMessage") not in scope.get("headers", ()):
            await app(scope, receive, send)
            return
        body_received = asyncio.Event()

        async def receive_request() -> Any:
            message = await receive()
            if not message.get("more_body"):
                body_received.set()
            return message

        async def wait_for_disconnect() -> None:
            await body_received.wait()
            while (await receive())["type"] != "http.disconnect":
                pass

        tasks = {asyncio.create_task(app(scope, receive_request, send)), asyncio.create_task(wait_for_disconnect())}
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        for task in done:
            task.result()

    return served
