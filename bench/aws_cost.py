"""What AWS bills for one job, by the emulator's own count: `python -m bench.aws_cost`.

A job whose handler returns what it was given is submitted, run, looked at three times and fetched; the last one is told
of by a webhook besides, which is taken at the first attempt. Dollars are for a
million of them, at list prices of us-east-1 in 2026, of what is counted here alone: Lambda, API Gateway and storage
come on top.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import RootModel

from coatcheck.authoring.context import Context
from coatcheck.authoring.loading import catalog, load_handlers
from coatcheck.authoring.types import Catalog, job
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

DOLLARS = {
    # https://aws.amazon.com/dynamodb/pricing/on-demand/ https://aws.amazon.com/sqs/pricing/
    # https://aws.amazon.com/s3/pricing/
    "write units": 0.625,
    "read units": 0.125,
    "SQS requests": 0.40,
    "S3 writes": 5.00,
    "S3 reads": 0.40,
}
"""For a million of each."""

POLL_COUNT = 3


class Anything(RootModel[Any]):
    """Any JSON."""


@job("bench.echo")
def echo(given: Anything, _: Context) -> Anything:
    """Do nothing."""
    return given


@dataclass
class AwsCost:
    """What was used, by the names of DOLLARS."""

    used: Counter[str] = field(default_factory=Counter)

    def record(self, call: Call[T]) -> Call[T]:
        """`call`, which is put on the bill when it is answered."""
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

    @property
    def dollars(self) -> float:
        """For a million of these."""
        return sum(DOLLARS[name] * used for name, used in self.used.items())


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

    def submit_delayed_job(self) -> None:
        """Hand in a job that does nothing yet, so that what is read for many jobs is read."""
        assert self.api.http.post("/v1/jobs", json={"type": echo.name, "delay": 3600}).status_code == 202


def cost_of_job(meter: Meter, given: Any, headers: Mapping[str, str] | None = None) -> tuple[AwsCost, AwsCost]:
    """What a job costs that returns what it was given, until its client knows it has ended; and to fetch the result."""
    job, fetched, api = AwsCost(), AwsCost(), meter.api
    api.spy.faults[:] = [Fault(change(job.record))]
    answer = api.http.post("/v1/jobs", json={"type": echo.name, "input": given}, headers=headers)
    assert answer.status_code == 202, answer.text
    url = f"/v1/jobs/{answer.json()['id']}"
    step(Poller(meter.dependencies(job, catalog(echo)), api.running_service.settings.queues["default"], grace=0))
    assert [api.http.get(url).json()["status"] for _ in range(POLL_COUNT)] == ["succeeded"] * POLL_COUNT
    api.spy.faults[:] = [Fault(change(fetched.record))]
    assert api.http.get(f"{url}/result").json() == given
    return job, fetched


def cost_of_webhook(meter: Meter, receiver: FaultyReceiver) -> AwsCost:
    """What a job costs besides when an endpoint is told of its end."""
    webhook, api = AwsCost(), meter.api
    alone, _ = cost_of_job(meter, {})
    endpoint = {"url": receiver.url, "events": ["job.succeeded"]}
    assert api.http.post("/v1/webhook-endpoints", json=endpoint).status_code == 201
    # who is to be told of a tenant's jobs is read once in ten seconds, and the key once by each process
    meter.submit_delayed_job()
    notified, _ = cost_of_job(meter, {})
    webhook.used = notified.used - alone.used
    dependencies = meter.dependencies(webhook, {})
    delivery_context = DeliveryContext(dependencies, HttpWebhookSender(SsrfPolicy.local()))
    delivery_context.secrets(WebhookEndpoint("t", "whe_any", receiver.url, (), 0))
    while not receiver.received:
        for received in dependencies.transport.send(
            receive(api.running_service.settings.queues[WEBHOOKS], wait=1, limit=1)
        ):
            assert process_message(delivery_context, received)
            dependencies.transport.send(delete(received))
    return webhook


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
def metered() -> Iterator[Meter]:
    """The service on MiniStack, which counts as DynamoDB does, index by index."""
    now = system_clock()
    with (
        tempfile.TemporaryDirectory() as scratch,
        emulators.ministack(Path(scratch)) as url,
        run_service(
            _stores(url), emulators.connect(url), url, catalog=catalog(echo), clock=lambda: now
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
    write(f"{'given and returned':20}{'':10}" + "".join(f"{name:>14}" for name in DOLLARS) + f"{'$ a million':>14}\n")
    with metered() as meter, faulty_receiver() as receiver:
        for name, given in INPUTS.items():
            for what, cost in zip(("job", "fetch"), cost_of_job(meter, given), strict=True):
                write(f"{name if what == 'job' else '':20}{what:10}{format_cost(cost)}\n")
        write(f"{'':20}{'webhook':10}{format_cost(cost_of_webhook(meter, receiver))}\n")


def format_cost(cost: AwsCost) -> str:
    """A bill as the end of a line."""
    return "".join(f"{cost.used[item]:14g}" for item in DOLLARS) + f"{cost.dollars:14.2f}"


if __name__ == "__main__":
    main()
