"""What AWS bills for one job, by the emulator's own count: `python -m bench.bill`.

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

from coatcheck.calls import Answer, Call
from coatcheck.context import Context
from coatcheck.deployment import WEBHOOKS, Deployment
from coatcheck.queues import delete, receive
from coatcheck.targets import Targets
from coatcheck.types import Handlers, JobType, catalog, handlers, handles
from coatcheck.webhooks import Endpoint
from tests.aws import emulators
from tests.aws.service.stage import Api, staged, visited
from tests.aws.worker.moody import Moody, moody
from worker.aws import Aws
from worker.poller import Poller
from worker.tools import Tools, system_clock
from worker.webhooks.attempts import Sender
from worker.webhooks.desk import Desk
from worker.webhooks.inbox import attend

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

POLLS = 3


class Anything(RootModel[Any]):
    """Any JSON."""


ECHO = JobType("bench.echo", Anything, Anything)


@handles(ECHO)
def echo(given: Anything, _: Context) -> Anything:
    """Do nothing."""
    return given


@dataclass
class Bill:
    """What was used, by the names of DOLLARS."""

    used: Counter[str] = field(default_factory=Counter)

    def noting(self, call: Call[T]) -> Call[T]:
        """`call`, which is put on the bill when it is answered."""
        if call.service == "sqs":
            self.used["SQS requests"] += 1
        elif call.service == "s3":
            self.used["S3 reads" if call.operation.startswith(("Get", "Head")) else "S3 writes"] += 1
        if call.service != "dynamodb":
            return call
        kind = "read units" if call.operation in {"GetItem", "Query", "BatchGetItem"} else "write units"

        def read(answer: Answer) -> T:
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
class Metered:
    """The worker's door to AWS, with a bill."""

    door: Aws
    bill: Bill

    def send(self, call: Call[T]) -> T:
        """As the door does."""
        return self.door.send(self.bill.noting(call))


@dataclass(frozen=True)
class Meter:
    """A service and its worker, whose clock stands: a due time that is rounded otherwise is an entry written anew."""

    api: Api
    now: int

    def tools(self, bill: Bill, known: Handlers) -> Tools:
        """A worker's, with a bill."""
        door = Metered(self.api.stage.worker, bill)
        return Tools(door, self.api.stage.deployment, known, clock=lambda: self.now, roll=lambda: 0.5)

    def later(self) -> None:
        """Hand in a job that does nothing yet, so that what is read for many jobs is read."""
        assert self.api.http.post("/v1/jobs", json={"type": ECHO.name, "delay": 3600}).status_code == 202


def bill_of(meter: Meter, given: Any, headers: Mapping[str, str] | None = None) -> tuple[Bill, Bill]:
    """What a job costs that returns what it was given, until its client knows it has ended; and to fetch the result."""
    job, fetched, api = Bill(), Bill(), meter.api
    api.spy.changes = job.noting
    answer = api.http.post("/v1/jobs", json={"type": ECHO.name, "input": given}, headers=headers)
    assert answer.status_code == 202, answer.text
    url = f"/v1/jobs/{answer.json()['id']}"
    Poller(meter.tools(job, handlers(echo)), api.stage.deployment.queues["default"], grace=0).step()
    assert [api.http.get(url).json()["status"] for _ in range(POLLS)] == ["succeeded"] * POLLS
    api.spy.changes = fetched.noting
    assert api.http.get(f"{url}/result").json() == given
    return job, fetched


def bill_of_webhook(meter: Meter, receiver: Moody) -> Bill:
    """What a job costs besides when an endpoint is told of its end."""
    webhook, api = Bill(), meter.api
    alone, _ = bill_of(meter, {})
    endpoint = {"url": receiver.url, "events": ["job.succeeded"]}
    assert api.http.post("/v1/webhook-endpoints", json=endpoint).status_code == 201
    # who is to be told of a tenant's jobs is read once in ten seconds, and the key once by each process
    meter.later()
    told, _ = bill_of(meter, {})
    webhook.used = told.used - alone.used
    tools = meter.tools(webhook, {})
    desk = Desk(tools, Sender(Targets.local()))
    desk.secrets(Endpoint("t", "whe_any", receiver.url, (), 0))
    while not receiver.arrived:
        for received in tools.aws.send(receive(api.stage.deployment.queues[WEBHOOKS], wait=1, limit=1)):
            assert attend(desk, received)
            tools.aws.send(delete(received))
    return webhook


def records(size: int) -> Any:
    """JSON as programs mostly send it, of about so many bytes."""
    chance, made = random.Random(1), list[Any]()  # noqa: S311 - the same each time
    while len(json.dumps(made, separators=(",", ":"))) < size:
        at = f"2026-11-26T12:{chance.randrange(60):02d}:00Z"
        made.append({"id": 1000 + len(made), "customer": f"c-{chance.randrange(10**6)}", "paid": True, "at": at})
    return made


def noise(size: int) -> str:
    """Text of so many characters that hardly deflates."""
    return base64.b64encode(random.Random(1).randbytes(size)).decode()[:size]  # noqa: S311 - as above


GIVEN: Mapping[str, Any] = {
    "nothing": {},
    "1 KB of records": records(1024),
    "1 KB of base64": noise(1024),
    "8 KB of records": records(8192),
    "100 KB of records": records(100 * 1024),
}


@contextmanager
def metered() -> Iterator[Meter]:
    """The service on MiniStack, which counts as DynamoDB does, index by index."""
    now = system_clock()
    with (
        tempfile.TemporaryDirectory() as scratch,
        emulators.ministack(Path(scratch)) as url,
        staged(_stores(url), emulators.connect(url), url, catalog=catalog(ECHO), clock=lambda: now) as stage,
        visited(stage) as api,
    ):
        meter = Meter(api, now)
        meter.later()
        yield meter


def _stores(url: str) -> Deployment:
    return emulators.deployment_on(url).model_copy(update={"webhook_targets": "local"})


def main() -> None:
    """Measure and print."""
    say = sys.stdout.write
    say(f"{'given and returned':20}{'':10}" + "".join(f"{name:>14}" for name in DOLLARS) + f"{'$ a million':>14}\n")
    with metered() as meter, moody() as receiver:
        for name, given in GIVEN.items():
            for what, bill in zip(("job", "fetch"), bill_of(meter, given), strict=True):
                say(f"{name if what == 'job' else '':20}{what:10}{told(bill)}\n")
        say(f"{'':20}{'webhook':10}{told(bill_of_webhook(meter, receiver))}\n")


def told(bill: Bill) -> str:
    """A bill as the end of a line."""
    return "".join(f"{bill.used[item]:14g}" for item in DOLLARS) + f"{bill.dollars:14.2f}"


if __name__ == "__main__":
    main()
