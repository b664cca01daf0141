"""Messages that wake whoever has to go on. One may get lost: the row says everything."""

from __future__ import annotations

import logging

from coatcheck.core.aws.call import AwsError, Call
from coatcheck_service.dependencies import Dependencies

log = logging.getLogger(__name__)


async def enqueue(dependencies: Dependencies, message: Call[None], what: str) -> None:
    """Send a message. If that fails, what was written stands all the same: the sweeper finds it by its `due_at`."""
    try:
        await dependencies.transport.send(message)
    except AwsError as error:
        log.warning("%s was accepted, but not sent to its queue: %s", what, error)
