"""Patches of how MiniStack handles requests: each makes the replacement of a function from the original."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def match_any_media_type(matches: Function) -> Function:
    """Wrap `matches` to accept BinaryMediaTypes as SAM writes them: `*~1*` matches any type, and a missing one."""

    def matches_unescaped(media_type: str | None, binary: list[str] | None) -> Any:
        types = [one.replace("~1", "/") for one in binary or []]
        return "*/*" in types or matches(media_type, types)

    return matches_unescaped


def treat_as_tls(pin: Function) -> Function:
    """Wrap `pin` to treat every request as TLS. They come over loopback; policies that demand TLS can be enforced."""
    return lambda source_ip, _secure: pin(source_ip, True)


def cancel_on_disconnect(app: Function) -> Function:
    """Wrap `app` to cancel a ReceiveMessage whose client has gone: it would receive the next message and lose it.

    Otherwise each restart of a worker delays jobs until the sweeper sends their messages again.
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
