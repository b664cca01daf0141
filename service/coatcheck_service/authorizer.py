"""The authorizer of API Gateway as a Lambda function. Everything is made when the module is imported, for SnapStart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from coatcheck.core.log import configure
from coatcheck.core.settings import Settings
from coatcheck_service.aws import connect
from coatcheck_service.gc_freeze import freeze_heap
from coatcheck_service.http.authorizer import Answer, Event, authorize
from coatcheck_service.identity_sources import IdentitySources


def make_handler() -> Callable[[Event, object], Answer]:
    """Make the function's handler, with its own event loop and its AWS clients."""
    settings = Settings.from_env(os.environ)
    configure(settings.log)
    transport = connect(os.environ)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    sources = IdentitySources(settings, transport)
    freeze_heap()

    def handle(event: Event, _context: object) -> Answer:
        return loop.run_until_complete(authorize(event, sources))

    return handle


handler = make_handler()
