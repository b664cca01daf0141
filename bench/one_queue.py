"""For benches: AWS for a worker, with a queue that is never empty, and the environment of that worker."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.clock import HOUR, SECOND, system_clock
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.settings import Settings
from tests.job_rows import make_job

QUEUE = "https://sqs.us-east-1.amazonaws.com/1/default"
LEASE = Settings.model_fields["lease"].default * SECOND
SUPERVISOR = ["-m", "coatcheck_worker.supervisor", "--lane", "default", "--memory", "2000"]


class OneQueue:
    """A queue that is never empty, and the row of its jobs."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.deleted = 0
        self._changed = threading.Condition()
        self._messages = map(str, itertools.count())
        self._job = make_job(now=system_clock(), type="bench.noop", due_at=system_clock() + HOUR)

    def answer(self, operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request."""
        self.requests[operation] += 1
        match operation:
            case "ReceiveMessage":
                return {"Messages": [self._message() for _ in range(asked.get("MaxNumberOfMessages", 1))]}
            case "DeleteMessage":
                return self._delete(1)
            case "DeleteMessageBatch":
                return self._delete(len(asked["Entries"]))
            case "UpdateItem":
                return {"Attributes": encode_job(self._after(asked))}
            case _:
                return {}

    def wait_for(self, count: int, seconds: float = 500) -> None:
        """Wait until so many messages are deleted. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.deleted >= count, seconds):
                raise TimeoutError(f"{self.deleted} of {count} jobs are done after {seconds:g} s")

    def _message(self) -> Mapping[str, Any]:
        number = next(self._messages)
        body = json.dumps({"v": 1, "tenant": self._job.tenant, "job": self._job.id})
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1"}
        return {"MessageId": number, "ReceiptHandle": number, "Body": body, "Attributes": attributes}

    def _delete(self, count: int) -> Mapping[str, Any]:
        with self._changed:
            self.deleted += count
            self._changed.notify_all()
        return {}

    def _after(self, asked: Mapping[str, Any]) -> Job:
        """The job after a write: it has ended if the write names a result."""
        now = system_clock()
        if "#result" in asked["ExpressionAttributeNames"]:
            return replace(self._job, status=Status.SUCCEEDED, attempt=1, finished_at=now)
        return replace(self._job, status=Status.RUNNING, attempt=1, claimed_at=now, lease_until=now + LEASE)


def supervisor_environment(url: str) -> dict[str, str]:
    """The environment of a worker before the server at `url`."""
    queues = json.dumps({"default": QUEUE, "webhooks": QUEUE})
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": os.devnull,
        "COATCHECK_TABLE": "table",
        "COATCHECK_BUCKET": "bucket",
        "COATCHECK_QUEUES": queues,
        "COATCHECK_DEAD_LETTERS": queues,
        "COATCHECK_WEBHOOK_KEY": "key",
        "COATCHECK_JOBS": "bench.noop_job",
        "PEER_QUEUE": QUEUE,
    }
