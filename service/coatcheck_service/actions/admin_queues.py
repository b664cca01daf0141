"""The queues of the lanes, and what is in their dead letters, as operators see and change them.

SQS has no way to read a queue without receiving its messages, nor to receive a certain one. So a request receives a
bounded number, looks at them, and lets the others go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal

from coatcheck.core.api.admin_models import DeadLetterView, LaneView, RedriveView
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.flow import run_async
from coatcheck.core.aws.sqs import MAX_BATCH, ReceivedMessage, change_visibility, queue_counts, receive
from coatcheck.core.errors import NotFound
from coatcheck.core.flows.dead_letters import (
    DEFAULT_ACTIONS,
    DISCARDED,
    Action,
    DeadLetterMessage,
    classify,
    perform,
)
from coatcheck.core.sanitize import quoted
from coatcheck.core.suggestions import unknown
from coatcheck_service.actions.admin_views import dead_letter_view, queue_view
from coatcheck_service.dependencies import Dependencies

MAX_LOOKED_AT = 100
"""Messages that one request receives from a queue of dead letters."""

VISIBILITY_TIMEOUT = 30
"""Seconds for which they are hidden from others, if the request dies before it lets them go: it takes no longer."""

WAIT = 1
"""Seconds that a receive waits. One that waits asks all servers of SQS: it finds a message if there is any."""


async def list_lanes(dependencies: Dependencies) -> list[LaneView]:
    """Return the queues of all lanes with their counts."""
    settings, send = dependencies.settings, dependencies.transport.send
    lanes = sorted(settings.queues)
    urls = [urls[lane] for lane in lanes for urls in (settings.queues, settings.dead_letters)]
    counts = [queue_view(one) for one in await asyncio.gather(*(send(queue_counts(url)) for url in urls))]
    return [
        LaneView(lane=lane, queue=queue, dead_letters=dead)
        for lane, queue, dead in zip(lanes, counts[::2], counts[1::2], strict=True)
    ]


async def list_dead_letters(dependencies: Dependencies, lane: str, limit: int) -> list[DeadLetterView]:
    """Return up to `limit` dead letters of a lane. Raises NotFound if there is no such lane."""
    async with _looked_at(dependencies, lane, most=limit) as found:
        return [dead_letter_view(await _classified(dependencies, lane, one)) for one in found]


async def get_dead_letter(dependencies: Dependencies, lane: str, message_id: str) -> DeadLetterView:
    """Return one dead letter. Raises NotFound if it is not among the first `MAX_LOOKED_AT`."""
    async with _one(dependencies, lane, message_id) as letter:
        return dead_letter_view(letter)


async def redrive(dependencies: Dependencies, lane: str, message_id: str) -> RedriveView:
    """Wake the job or the delivery of a dead letter again, or delete it if that is finished. Raises NotFound."""
    async with _one(dependencies, lane, message_id) as letter:
        action = DEFAULT_ACTIONS[letter.kind]
        await run_async(dependencies.transport, perform(dependencies.settings, letter, action))
    return RedriveView(outcome=_outcome(action))


async def discard(dependencies: Dependencies, lane: str, message_id: str) -> None:
    """Delete a dead letter, whatever it is. Raises NotFound."""
    async with _one(dependencies, lane, message_id) as letter:
        await run_async(dependencies.transport, perform(dependencies.settings, letter, DISCARDED))


def _outcome(action: Action) -> Literal["redriven", "discarded", "left"]:
    if action.sends:
        return "redriven"
    return "discarded" if action.deletes else "left"


@asynccontextmanager
async def _one(dependencies: Dependencies, lane: str, message_id: str) -> AsyncIterator[DeadLetterMessage]:
    async with _looked_at(dependencies, lane, most=MAX_LOOKED_AT, wanted=message_id) as found:
        letter = next((one for one in found if one.message_id == message_id), None)
        if letter is None:
            raise NotFound(
                f"There is no dead letter {quoted(message_id)} among the first {MAX_LOOKED_AT} of lane {lane} "
                "(somebody else may be looking at it: try again in a minute)."
            )
        yield await _classified(dependencies, lane, letter)


async def _classified(dependencies: Dependencies, lane: str, received: ReceivedMessage) -> DeadLetterMessage:
    return await run_async(dependencies.transport, classify(dependencies.table, lane, received))


@asynccontextmanager
async def _looked_at(
    dependencies: Dependencies, lane: str, *, most: int, wanted: str | None = None
) -> AsyncIterator[Sequence[ReceivedMessage]]:
    """Receive up to `most` messages, or until the one that is `wanted`; let them go at the end."""
    queues = dependencies.settings.dead_letters
    if lane not in queues:
        raise NotFound(unknown("lane", lane, queues, see="see /v1/admin/queues"))
    found: dict[str, ReceivedMessage] = {}
    try:
        while len(found) < most and wanted not in found:
            limit = min(MAX_BATCH, most - len(found))
            call = receive(queues[lane], wait=WAIT, limit=limit, visibility_timeout=VISIBILITY_TIMEOUT)
            batch = await dependencies.transport.send(call)
            if not any(one.message_id not in found for one in batch):
                break
            found |= {one.message_id: one for one in batch}
        yield list(found.values())
    finally:
        with suppress(AwsError):
            await asyncio.gather(*(dependencies.transport.send(change_visibility(one, 0)) for one in found.values()))
