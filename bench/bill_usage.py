"""What one job uses of AWS: counted on MiniStack, measured here, and estimated where AWS promises nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bench.aws_cost import POLL_COUNT, AwsCost, deliver, fetch, metered, register_endpoint, run_job
from bench.bill_job import RESULT_SIZE, result
from bench.lambda_invocations import Invocation
from tests.aws.worker.faulty_receiver import faulty_receiver

Usage = Mapping[str, float]
"""How much of what has a price, by the names of PRICES."""

MEMORY = {"submit": 1024, "look": 1024, "fetch": 1024, "run": 1769, "deliver": 256}
"""MB of the function that does it, as the template has them."""

CPU_MEMORY = 1769
"""MB that come with one CPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

DYNAMODB, SQS, S3, RECEIVER = "DynamoDB", "SQS", "S3", "receiver of webhooks"
WAITS: Mapping[str, tuple[float, str]] = {
    DYNAMODB: (0.005, "'single-digit millisecond': https://aws.amazon.com/dynamodb/features/"),
    SQS: (0.015, "'tens of milliseconds': https://aws.amazon.com/sqs/faqs/"),
    S3: (0.1, "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"),
    RECEIVER: (0.2, "somewhere on the Internet"),
}
"""Estimated: seconds until the answer to a request, and where the figure is from."""

LAMBDA_LOG = 450
"""Estimated: bytes that Lambda itself logs of an invocation, in JSON, with the 26 that CloudWatch adds to a line. These
are its start and its report: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

LOGGED_BY_LAMBDA = frozenset({"run"})
"""The invocations that Lambda logs when they end well: the template leaves the workers alone at the level INFO."""

REQUEST_BYTES = 4096
"""Estimated: bytes of a request and its answer on the wire, without a result: headers, TLS, and a JobView."""

_POLLER_OPERATIONS = frozenset({"ReceiveMessage", "DeleteMessage"})
"""What Lambda's own pollers send: no function waits for it."""

_SERVICES = {"GetObject": S3, "PutObject": S3, "SendMessage": SQS, "SendMessageBatch": SQS}
"""Who answers an operation; DynamoDB answers the others."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a job: what it uses, whom it waits for how often, and the invocations of functions that do it."""

    used: Usage
    requests: Mapping[str, int]
    invocations: Mapping[str, int]

    @property
    def wait(self) -> float:
        """Seconds of waiting."""
        return sum(WAITS[service][0] * count for service, count in self.requests.items())


@dataclass(frozen=True, slots=True)
class CountedJob:
    """The parts of a job, and what it takes besides when a webhook tells of its end."""

    api: Part
    worker: Part
    webhook: Part


def count_job() -> CountedJob:
    """Run the job on MiniStack, without a webhook and with one. It is looked at POLL_COUNT times, and fetched."""
    api, worker, fetched, told_api, told_worker, delivery = (AwsCost() for _ in range(6))
    with metered(result) as meter, faulty_receiver() as receiver:
        url = run_job(meter, result, {}, service=api, worker=worker)
        assert len(fetch(meter, url, fetched).content) == RESULT_SIZE
        register_endpoint(meter, receiver)
        run_job(meter, result, {}, service=told_api, worker=told_worker)
        deliver(meter, receiver, delivery)
    webhook = told_api + told_worker + delivery - (api + worker)
    return CountedJob(
        _part(api + fetched, submit=1, look=POLL_COUNT, fetch=1),
        _part(worker, run=1),
        _part(webhook, deliver=1),
    )


def _part(cost: AwsCost, **invocations: int) -> Part:
    requests = Counter[str]()
    for operation, count in cost.operations.items():
        if operation not in _POLLER_OPERATIONS:
            requests[_SERVICES.get(operation, DYNAMODB)] += count
    if "deliver" in invocations:
        requests[RECEIVER] = 1
    return Part(cost.used, requests, invocations)


def in_functions(part: Part, measured: Mapping[str, Invocation]) -> Usage:
    """What a part uses when Lambda functions do it."""
    waits = part.wait / sum(part.invocations.values())
    return total(part.used, *(_invoked(name, times, waits, measured[name]) for name, times in part.invocations.items()))


def _invoked(name: str, times: int, wait: float, one: Invocation) -> Usage:
    memory = MEMORY[name]
    seconds = one.cpu * CPU_MEMORY / min(memory, CPU_MEMORY) + wait
    return {
        "Lambda requests": times,
        "Lambda GB-seconds": times * seconds * memory / 1024,
        "GB of logs": times * (one.log + (LAMBDA_LOG if name in LOGGED_BY_LAMBDA else 0)) / 1e9,
    }


def in_containers(part: Part, measured: Mapping[str, Invocation]) -> Usage:
    """What a part uses when containers do it, but for the hours of these. They log as much as functions at the most."""
    logged = sum(times * measured[name].log for name, times in part.invocations.items())
    return total(part.used, {"GB of logs": logged / 1e9})


def total(*parts: Usage, times: float = 1) -> Usage:
    """The sum, so many times."""
    summed = Counter[str]()
    for part in parts:
        for name, amount in part.items():
            summed[name] += amount * times  # type: ignore[assignment]
    return summed
