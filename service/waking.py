"""Messages that wake whoever has to go on. One may get lost: the row says everything."""

from __future__ import annotations

import logging

from coatcheck.calls import AwsError, Call
from service.tools import Tools

log = logging.getLogger(__name__)


async def wake(tools: Tools, message: Call[None], what: str) -> None:
    """Send a message. If that fails, what was written stands all the same: the sweeper finds it by its `due_at`."""
    try:
        await tools.aws.send(message)
    except AwsError as error:
        log.warning("%s was accepted, but not sent to its queue: %s", what, error)
