"""For queues that stand beside us: a job that does nothing, and a worker that ends with the last one of them.

Loads nothing of ours: these modules run in an environment of their own.
"""

from __future__ import annotations

import json
import os
import time

WARM_UP = 20
JOBS = int(os.environ.get("PEER_JOBS", "200"))


class JobCounter:
    """Counts jobs. After the last it prints jobs a second and ms of CPU for one as JSON, and ends the process."""

    def __init__(self) -> None:
        self._count = 0
        self._began = self._cpu = 0.0

    def done(self) -> None:
        """Another job was run."""
        self._count += 1
        if self._count == WARM_UP:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        if self._count == WARM_UP + JOBS:
            seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
            os.write(1, json.dumps({"jobs": JOBS / seconds, "cpu": 1000 * cpu / JOBS}).encode())
            # a worker has no end of its own
            os._exit(0)


COUNTER = JobCounter()
