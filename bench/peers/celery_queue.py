"""Celery on SQS, in one process: `python -m bench.peers.celery_queue submit|work`.

$PEER_URL is SQS's, $PEER_QUEUE the queue's.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery

from bench.peers.counted_job import COUNTER, JOBS, WARM_UP

app = Celery(broker=os.environ["PEER_URL"].replace("http://", "sqs://local:made-up@"))
app.conf.update(
    task_default_queue="bench",
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "predefined_queues": {
            "bench": {
                "url": os.environ["PEER_QUEUE"],
                "access_key_id": "local",
                "secret_access_key": "made-up",
            }
        },
    },
)


@app.task(name="noop")
def noop() -> dict[str, Any]:
    """Do nothing."""
    COUNTER.done()
    return {}


if __name__ == "__main__":
    if sys.argv[1] == "submit":
        for _ in range(WARM_UP + JOBS):
            noop.delay()
    else:
        app.worker_main(["worker", "--pool", "solo", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"])
