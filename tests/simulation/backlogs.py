"""Tables full of what is due, and a sweeper on the model of AWS whose requests each take a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from coatcheck.core import due
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.lambda_functions import invoke_async
from coatcheck.core.aws.s3_keys import result_key
from coatcheck.core.aws.sqs import send_job
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.job import Blob, Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.messages import JobMessage
from coatcheck.core.shards import SHARDS, ShardKind, due_shard, removal_shard
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep import SWEEP_THREADS
from tests.job_rows import make_job
from tests.simulation.actors import DEPLOYMENT, QUEUE
from tests.simulation.model import Model
from tests.simulation.s3 import Stored

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")

START = 1_800_000_000_000
REQUEST = 5
"""Milliseconds that each request takes."""


@dataclass
class TimedSweeper:
    """A sweeper of `threads` threads in virtual time. `slow` operations take so many milliseconds."""

    model: Model
    threads: int = SWEEP_THREADS
    began: int = START
    spent: float = 0.0
    slow: Mapping[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def send(self, call: Call[T]) -> T:
        """Carry out `call`, which takes a while."""
        self.requests.append(call.operation)
        self.spent += self.slow.get(call.operation, REQUEST)
        answer = self.model.carry_out(call, self.clock())
        if isinstance(answer, Job):
            self.seen.setdefault(f"{answer.id} {answer.status}", self.clock())
        return answer

    def clock(self) -> int:
        """The virtual time."""
        return self.began + int(self.spent)

    def parallel_map(self, function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
        """Call the function with each value. In threads it takes as long as the one that has most to do."""
        before = self.spent
        ends = [0.0] * self.threads
        answers = []
        for value in values:
            thread = min(range(self.threads), key=ends.__getitem__)
            self.spent = before + ends[thread]
            answers.append(function(value))
            ends[thread] = self.spent - before
        self.spent = before + max(ends)
        return answers

    def noticed(self, job: Job, status: Status = Status.QUEUED) -> float:
        """Seconds from the start until the job was moved to `status`."""
        return (self.seen[f"{job.id} {status}"] - self.began) / SECOND

    @property
    def dependencies(self) -> Dependencies:
        """What it sweeps with."""
        return Dependencies(self, DEPLOYMENT, clock=self.clock, roll=lambda: 0.0, parallel_map=self.parallel_map)


def put(model: Model, jobs: Sequence[Job]) -> None:
    """Write rows, with no request."""
    for job in jobs:
        item = encode_job(job)
        model.table.write((item["pk"]["S"], item["sk"]["S"]), item, START - HOUR)


def waiting(count: int, name: str = "job_waits", **changes: Any) -> list[Job]:
    """Jobs that have waited for ten minutes, and are due."""
    jobs = [make_job(now=START - 10 * MINUTE, id=f"{name}_{n}", due_at=START - 30 * SECOND) for n in range(count)]
    return [replace(job, due_shard=due_shard(ShardKind.DUE, job.id, SHARDS), **changes) for job in jobs]


def left_by_dead_worker(number: int = 0, **changes: Any) -> Job:
    """A job in shard 7 whose worker was last heard of a lease ago: due after all others."""
    at = START - SECOND
    job = make_job(now=at - MINUTE, id=f"job_lost_{number}", status=Status.RUNNING, attempt=1, due_shard="due-7")
    running = {"claimed_at": at - MINUTE, "started_at": at - MINUTE, "lease_until": at, "due_at": due.for_lease(at)}
    return replace(job, **{**running, **changes})


def scheduled(count: int, start_at: int) -> list[Job]:
    """Jobs that are to start at one time, written long before."""
    due_at = due.for_dispatch(now=START - HOUR, start_at=start_at, queue_deadline=None, dispatches=0)
    return waiting(count, "job_starts", status=Status.SCHEDULED, run_at=start_at, start_at=start_at, due_at=due_at)


def expired(model: Model, count: int, name: str = "job_over") -> list[Job]:
    """Jobs whose retention is over, each with a result in the bucket."""
    jobs = [
        replace(
            job,
            status=Status.SUCCEEDED,
            attempt=1,
            result=Blob(10, b"s" * 32, "text/plain"),
            finished_at=START - HOUR,
            expires_at=START - MINUTE,
            due_shard=removal_shard(job.due_shard),
        )
        for job in waiting(count, name)
    ]
    for job in jobs:
        model.bucket.objects[result_key(job)] = Stored(b"0123456789", "text/plain")
    return jobs


def with_messages(model: Model, jobs: Sequence[Job]) -> None:
    """Let a message of each job wait in the queue."""
    for job in jobs:
        model.carry_out(send_job(QUEUE, JobMessage(tenant=job.tenant, job=job.id)), START - 10 * MINUTE)


def of_newer_version(model: Model, jobs: Sequence[Job]) -> None:
    """Write rows as a newer version might, in a way that this one does not know."""
    for job in jobs:
        item = {**encode_job(job), "schema": {"N": "2"}}
        model.table.write((item["pk"]["S"], item["sk"]["S"]), item, START - HOUR)


def row(model: Model, job: Job) -> dict[str, Any]:
    """An item as it is now."""
    key = JobKey(job.tenant, job.id).item()
    return model.table.items[key["pk"]["S"], key["sk"]["S"]]


def sent(model: Model) -> int:
    """How many messages are in the queue, delayed ones too."""
    return len(model.queues.of({"QueueUrl": QUEUE}).messages)


def invocation() -> Call[None]:
    """The call that hands a share to another sweeper."""
    return invoke_async("sweeper", "{}")
