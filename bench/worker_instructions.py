"""Instructions of a no-op job in the worker, and its requests: `python -m bench.worker_instructions`. Needs valgrind.

The supervisor works with its runner as in production, before a server that answers for AWS, and is counted; the runner,
a process of its own, is not. Beside it stands a poller written by hand with boto3 that sends the same requests and runs
nothing. The work of a start goes out: a run of many jobs is compared with one of few.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.aws_answers import aws_answers
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.clock import HOUR, system_clock
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from tests.job_rows import make_job

QUEUE = "https://sqs.us-east-1.amazonaws.com/1/default"
FEW, MANY = 30, 90
SUPERVISOR = ["-m", "coatcheck_worker.supervisor", "--lane", "default", "--memory", "2000"]
BY_HAND = ["-m", "bench.peers.poller"]
WHO: Mapping[str, Sequence[str]] = {"coatcheck": SUPERVISOR, "by hand": BY_HAND}


class OneQueue:
    """A queue that is never empty, and the row of its jobs. `done` is set when `count` messages are deleted."""

    def __init__(self, count: int) -> None:
        self.requests: Counter[str] = Counter()
        self.done = threading.Event()
        self.deleted, self._count = 0, count
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
                return {"Attributes": _as_json(encode_job(self._after(asked)))}
            case _:
                return {}

    def _message(self) -> Mapping[str, Any]:
        number = next(self._messages)
        body = json.dumps({"v": 1, "tenant": self._job.tenant, "job": self._job.id})
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1"}
        return {"MessageId": number, "ReceiptHandle": number, "Body": body, "Attributes": attributes}

    def _delete(self, count: int) -> Mapping[str, Any]:
        self.deleted += count
        if self.deleted >= self._count:
            self.done.set()
        return {}

    def _after(self, asked: Mapping[str, Any]) -> Job:
        """The job after a write, which is a claim if it names an owner."""
        now = system_clock()
        if "#owner" in asked["ExpressionAttributeNames"] and "#owner = " in asked["UpdateExpression"]:
            return replace(self._job, status=Status.RUNNING, attempt=1, claimed_at=now, lease_until=now + HOUR)
        return replace(self._job, status=Status.SUCCEEDED, attempt=1, finished_at=now)


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list) else value


def run(arguments: Sequence[str], jobs: int) -> tuple[int, OneQueue]:
    """Run a worker until it has done so many jobs. Return the instructions of its process, and what it has asked."""
    queue = OneQueue(jobs)
    with aws_answers(queue.answer) as url, tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
        log = Path(folder) / "counted"
        valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}")
        command = [*valgrind, sys.executable, *arguments]
        process = subprocess.Popen(command, env=_environment(url), stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        if not queue.done.wait(500):
            process.kill()
            sys.exit(f"{' '.join(arguments)} did not end its {jobs} jobs")
        process.send_signal(signal.SIGTERM)
        process.wait()
        counted = re.search(r"Collected : (\d+)", log.read_text())
    assert counted is not None
    return int(counted[1]), queue


def _environment(url: str) -> dict[str, str]:
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker_instructions", description=__doc__)
    parser.parse_args()
    each: dict[str, float] = {}
    for who, arguments in WHO.items():
        (few, after_few), (many, after_many) = run(arguments, FEW), run(arguments, MANY)
        each[who] = (many - few) / (after_many.deleted - after_few.deleted)
        shares = {name: count / after_many.deleted for name, count in sorted(after_many.requests.items())}
        sent = ", ".join(f"{share:.2f} {name}" for name, share in shares.items())
        sys.stdout.write(f"{who:10} {each[who] / 1e6:6.2f} M   {sum(shares.values()):.2f} requests: {sent}\n")
        sys.stdout.flush()
    sys.stdout.write(f"ratio {each['coatcheck'] / each['by hand']:.2f}\n")


if __name__ == "__main__":
    main()
