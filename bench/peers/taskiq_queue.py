"""taskiq on a list of Redis, with a result backend: `python -m bench.peers.taskiq_queue submit|work`.

$PEER_URL is Redis's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from bench.peers.counted_job import COUNTER, JOBS, WARM_UP

URL = os.environ["PEER_URL"]
broker = ListQueueBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))


@broker.task
async def noop() -> dict[str, Any]:
    """Do nothing."""
    COUNTER.done()
    return {}


async def submit() -> None:
    """Put the jobs into the queue."""
    await broker.startup()
    for _ in range(WARM_UP + JOBS):
        await noop.kiq()
    await broker.shutdown()


async def work() -> None:
    """Run them."""
    broker.is_worker_process = True
    await run_receiver_task(broker, run_startup=True)


if __name__ == "__main__":
    asyncio.run(submit() if sys.argv[1] == "submit" else work())
