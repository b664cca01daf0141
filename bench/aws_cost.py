"""What AWS bills for one job, by the emulator's own count: `python -m bench.aws_cost`.

A job whose handler returns what it was given is submitted, run, looked at three times and fetched; the last one is told
of by a webhook besides, which is taken at the first attempt. Dollars are for a
million of them, at list prices (`bench.prices`), of what is counted here alone: `bench.bill` adds Lambda, the front
door and the logs.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import RootModel

from bench.prices import PRICES
from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog, load_handlers
from coatcheck.authoring.types import Catalog, JobType, job
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.sqs import delete, receive
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck.core.ssrf import SsrfPolicy
from coatcheck.core.webhooks import WebhookEndpoint
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.limits_cache import LimitsCache
from coatcheck_worker.supervisor.poller import Poller
from coatcheck_worker.webhooks.delivery_context import DeliveryContext
from coatcheck_worker.webhooks.sender import HttpWebhookSender
from coatcheck_worker.webhooks.webhook_messages import process_message
from tests.aws import emulators
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.aws.worker.faulty_receiver import FaultyReceiver, faulty_receiver
from tests.direct_runners import DirectRunners, step
from tests.transports import Fault, FaultyTransport, change

T = TypeVar("T")

ITEMS = ("write units", "read units", "SQS requests", "S3 writes", "S3 reads")
"""What is counted here, by the names of PRICES."""

POLL_COUNT = 3


class Anything(RootModel[Any]):
    """Any JSON."""


@job("bench.echo")
def echo(given: Anything, _: Context) -> Anything:
    """Do nothing."""
    return given


@dataclass
class AwsCost:
    """What was used, by the names of PRICES, and the operations that were sent."""

    used: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)

    def record(self, call: Call[T]) -> Call[T]:
        """`call`, which is put on the bill when it is answered."""
        self.operations[call.operation] += 1
        if call.service == "sqs":
            self.used["SQS requests"] += 1
        elif call.service == "s3":
            self.used["S3 reads" if call.operation.startswith(("Get", "Head")) else "S3 writes"] += 1
        if call.service != "dynamodb":
            return call
        kind = "read units" if call.operation in {"GetItem", "Query", "BatchGetItem"} else "write units"

        def read(answer: AwsResponse) -> T:
            consumed = answer["ConsumedCapacity"]
            for one in consumed if isinstance(consumed, list) else [consumed]:
                self.used[kind] += one["CapacityUnits"]
            return call.read(answer)

        return replace(call, params={**call.params, "ReturnConsumedCapacity": "TOTAL"}, read=read)

    def __add__(self, other: AwsCost) -> AwsCost:
        return AwsCost(self.used + other.used, self.operations + other.operations)

    def __sub__(self, other: AwsCost) -> AwsCost:
        return AwsCost(_difference(self.used, other.used), _difference(self.operations, other.operations))

    @property
    def dollars(self) -> float:
        """For a million of these."""
        return sum(PRICES[name].dollars * used for name, used in self.used.items())


def _difference(one: Counter[str], other: Counter[str]) -> Counter[str]:
    # the operator of Counter would drop what is below zero
    return Counter({name: one[name] - other[name] for name in one | other if one[name] != other[name]})


@dataclass(frozen=True)
class Meter:
    """A service and its worker, whose clock stands: a due time that is rounded otherwise is an entry written anew."""

    api: Api
    now: int

    def dependencies(self, cost: AwsCost, job_types: Catalog) -> Dependencies:
        """A worker's, with a bill."""
        transport = FaultyTransport(self.api.running_service.worker, Fault(change(cost.record)))

        def clock() -> int:
            return self.now

        runners = DirectRunners(load_handlers(job_types), transport, clock)
        settings, limits = self.api.running_service.settings, LimitsCache()
        # read once in half a minute, for however many jobs
        limits.get(self.api.running_service.worker, settings.table, self.api.tenant, now=self.now)
        return Dependencies(transport, settings, clock=clock, roll=lambda: 0.5, runners=runners, limits=limits)

    @contextmanager
    def recording(self, cost: AwsCost) -> Iterator[None]:
        """Put what the service sends until the block ends on a bill."""
        self.api.spy.faults[:] = [Fault(change(cost.record))]
        try:
            yield
        finally:
            self.api.spy.faults.clear()

    def submit_delayed_job(self) -> None:
        """Hand in a job that does nothing yet, so that what is read for many jobs is read."""
        assert self.api.http.post("/v1/jobs", json={"type": echo.name, "delay": 3600}).status_code == 202


def cost_of_job(meter: Meter, given: Any, headers: Mapping[str, str] | None = None) -> tuple[AwsCost, AwsCost]:
    """What a job costs that returns what it was given, until its client knows it has ended; and to fetch the result."""
    job, fetched = AwsCost(), AwsCost()
    url = run_job(meter, echo, given, service=job, worker=job, headers=headers)
    assert fetch(meter, url, fetched).json() == given
    return job, fetched


def run_job(
    meter: Meter,
    job_type: JobType[Any, Any],
    given: Any,
    *,
    service: AwsCost,
    worker: AwsCost,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Submit a job, run it and look at it POLL_COUNT times; its path is returned. Both sides have a bill."""
    api, dependencies = meter.api, meter.dependencies(worker, catalog(job_type))
    with meter.recording(service):
        answer = api.http.post("/v1/jobs", json={"type": job_type.name, "input": given}, headers=headers)
        assert answer.status_code == 202, answer.text
        url = f"/v1/jobs/{answer.json()['id']}"
        step(Poller(dependencies, api.running_service.settings.queues["default"], grace=0))
        assert [api.http.get(url).json()["status"] for _ in range(POLL_COUNT)] == ["succeeded"] * POLL_COUNT
    return url


def fetch(meter: Meter, url: str, service: AwsCost) -> httpx.Response:
    """The result of the job at this path."""
    with meter.recording(service):
        return meter.api.http.get(f"{url}/result")


def cost_of_webhook(meter: Meter, receiver: FaultyReceiver) -> AwsCost:
    """What a job costs besides when an endpoint is told of its end."""
    alone, _ = cost_of_job(meter, {})
    register_endpoint(meter, receiver)
    notified, _ = cost_of_job(meter, {})
    deliver(meter, receiver, notified)
    return notified - alone


def register_endpoint(meter: Meter, receiver: FaultyReceiver) -> None:
    """Have the ends of all later jobs told to `receiver`."""
    endpoint = {"url": receiver.url, "events": ["job.succeeded"]}
    assert meter.api.http.post("/v1/webhook-endpoints", json=endpoint).status_code == 201
    # who is to be told of a tenant's jobs is read once in ten seconds
    meter.submit_delayed_job()


def deliver(meter: Meter, receiver: FaultyReceiver, cost: AwsCost) -> None:
    """Process the messages about webhooks until `receiver` has one more."""
    dependencies = meter.dependencies(cost, {})
    delivery_context = DeliveryContext(dependencies, HttpWebhookSender(SsrfPolicy.local()))
    # a process reads the key once
    delivery_context.secrets(WebhookEndpoint("t", "whe_any", receiver.url, (), 0))
    queue, before = meter.api.running_service.settings.queues[WEBHOOKS], len(receiver.received)
    while len(receiver.received) == before:
        for received in dependencies.transport.send(receive(queue, wait=1, limit=1)):
            assert process_message(delivery_context, received, lambda _: nullcontext(enter_result=True))
            dependencies.transport.send(delete(received))


def json_records(size: int) -> Any:
    """JSON as programs mostly send it, of about so many bytes."""
    chance, made = random.Random(1), list[Any]()  # noqa: S311 - the same each time
    while len(json.dumps(made, separators=(",", ":"))) < size:
        at = f"2026-11-26T12:{chance.randrange(60):02d}:00Z"
        made.append({"id": 1000 + len(made), "customer": f"c-{chance.randrange(10**6)}", "paid": True, "at": at})
    return made


def incompressible_text(size: int) -> str:
    """Text of so many characters that hardly deflates."""
    return base64.b64encode(random.Random(1).randbytes(size)).decode()[:size]  # noqa: S311 - as above


INPUTS: Mapping[str, Any] = {
    "nothing": {},
    "1 KB of records": json_records(1024),
    "1 KB of base64": incompressible_text(1024),
    "8 KB of records": json_records(8192),
    "100 KB of records": json_records(100 * 1024),
}


@contextmanager
def metered(*more: JobType[Any, Any]) -> Iterator[Meter]:
    """The service on MiniStack, which counts as DynamoDB does, index by index. It has the job types `more`, too."""
    now = system_clock()
    with (
        tempfile.TemporaryDirectory() as scratch,
        emulators.ministack(Path(scratch)) as url,
        run_service(
            _stores(url), emulators.connect(url), url, catalog=catalog(echo, *more), clock=lambda: now
        ) as running_service,
        clients_of(running_service) as api,
    ):
        meter = Meter(api, now)
        meter.submit_delayed_job()
        yield meter


def _stores(url: str) -> Settings:
    return emulators.deployment_on(url).model_copy(update={"webhook_targets": "local"})


def main() -> None:
    """Measure and print."""
    write = sys.stdout.write
    write(f"{'given and returned':20}{'':10}" + "".join(f"{name:>14}" for name in ITEMS) + f"{'$ a million':>14}\n")
    with metered() as meter, faulty_receiver() as receiver:
        for name, given in INPUTS.items():
            for what, cost in zip(("job", "fetch"), cost_of_job(meter, given), strict=True):
                write(f"{name if what == 'job' else '':20}{what:10}{format_cost(cost)}\n")
        write(f"{'':20}{'webhook':10}{format_cost(cost_of_webhook(meter, receiver))}\n")


def format_cost(cost: AwsCost) -> str:
    """A bill as the end of a line."""
    return "".join(f"{cost.used[item]:14g}" for item in ITEMS) + f"{cost.dollars:14.2f}"


if __name__ == "__main__":
    main()
