"""arq, with its defaults: `python -m bench.peers.arq_queue submit|work`. $PEER_URL is Redis's."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.peers.counted_job import COUNTER, JOBS, WARM_UP

REDIS = RedisSettings.from_dsn(os.environ["PEER_URL"])


async def noop(_: dict[Any, Any]) -> dict[str, Any]:
    """Do nothing."""
    COUNTER.done()
    return {}


async def submit() -> None:
    """Put the jobs into the queue."""
    pool = await create_pool(REDIS)
    for _ in range(WARM_UP + JOBS):
        await pool.enqueue_job("noop")


if __name__ == "__main__":
    if sys.argv[1] == "submit":
        asyncio.run(submit())
    else:
        asyncio.set_event_loop(asyncio.new_event_loop())
        Worker(functions=[noop], redis_settings=REDIS, handle_signals=False).run()
