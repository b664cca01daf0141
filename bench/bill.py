"""What AWS bills for a million jobs, by front door and by share of webhooks: `python -m bench.bill`.

A job returns 20 KB that do not deflate; its client looks three times and fetches the result; a webhook tells of its end
and is taken at once. Requests and capacity units are counted on MiniStack. CPU and bytes of log are measured
(`bench.lambda_invocations`), and a CPU of AWS is taken to be as fast as this machine's. How long AWS takes to answer is
estimated (`bench.bill_usage`). Prices are of `bench.prices`. Traffic to the Internet is the same for all, and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from bench.bill_job import RESULT_SIZE, result
from bench.bill_usage import (
    RECEIVER,
    REQUEST_BYTES,
    S3,
    WAITS,
    CountedJob,
    Part,
    Usage,
    count_job,
    in_containers,
    in_functions,
    total,
)
from bench.lambda_invocations import Invocation, measure
from bench.prices import PRICES

SHARES = (0.0, 0.5, 1.0)
"""Of the jobs, those whose end is told of by a webhook."""

LOAD = 10.0
"""Jobs a second: over them, what is paid by the hour is shared."""

AUTHORIZER_SECONDS = 30
"""For which API Gateway keeps an authorizer's answer: infra/coatcheck_infra/authorizer.yaml."""

BALANCER_UNIT_BYTES = 0.4e9
"""Of a load balancer's unit and hour, through a function: https://aws.amazon.com/elasticloadbalancing/pricing/"""

CONTAINERS: Usage = {"Fargate CPU hours": 2 * 0.5 + 1 + 0.25, "Fargate GB hours": 2 * 1 + 2 + 0.5}
"""Two of the API, a worker and a deliverer, for an hour."""

HOW: Mapping[str, str] = {
    "Lambda GB-seconds": "CPU measured, waits estimated",
    "GB of logs": "ours measured, Lambda's own estimated",
}
"""How a figure of a job was found. All others are counted."""

DURABLE_DAYS = 14
"""For which a durable function keeps its history, unless told otherwise:
https://docs.aws.amazon.com/lambda/latest/dg/durable-configuration.html"""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a job uses, and what for when a webhook tells of it."""

    job: Usage
    webhook: Usage

    def dollars(self, share: float) -> float:
        """For a million jobs, of which this share has a webhook."""
        return dollars(self.job) + share * dollars(self.webhook)


def dollars(usage: Usage) -> float:
    """For a million of these."""
    return sum(PRICES[name].dollars * amount for name, amount in usage.items())


def front_doors(counted: CountedJob, measured: Mapping[str, Invocation]) -> dict[str, Bill]:
    """The bill by each way to the API."""
    lambdas = partial(in_functions, measured=measured)
    job, webhook = total(lambdas(counted.api), lambdas(counted.worker)), lambdas(counted.webhook)
    requests = sum(counted.api.invocations.values())
    gateway = {"REST API requests": requests}
    # its CPU is at most that of a look, which authenticates too
    authorizer = total(lambdas(Part({}, {}, {"look": 1})), times=1 / (LOAD * AUTHORIZER_SECONDS))
    hour = 1 / (LOAD * 3600)
    sent = requests * REQUEST_BYTES + RESULT_SIZE
    balancer = {"load balancer hours": hour, "load balancer units": sent / BALANCER_UNIT_BYTES}
    contained = total(
        in_containers(counted.api, measured), in_containers(counted.worker, measured), total(CONTAINERS, times=hour)
    )
    return {
        "function URL": Bill(job, webhook),
        "REST API": Bill(total(job, gateway), webhook),
        "REST API, authorizer": Bill(total(job, gateway, authorizer), webhook),
        "load balancer": Bill(total(job, balancer), webhook),
        "containers": Bill(total(contained, balancer), in_containers(counted.webhook, measured)),
    }


def alternatives(counted: CountedJob, measured: Mapping[str, Invocation]) -> dict[str, Bill]:
    """The bill of the same work done otherwise, as leanly as we know how, by code that is as fast as ours."""
    lambdas = partial(in_functions, measured=measured)
    requests = sum(counted.api.invocations.values())
    stored = {"S3 writes": 1, "S3 reads": 1}
    # the handler and the store of its result, and the fetch; nothing is written to a table
    run, fetch = lambdas(Part({}, {S3: 1}, {"run": 1})), lambdas(Part({}, {S3: 1}, {"fetch": 1}))
    steps = total(run, fetch, stored, {"state transitions": 3, "REST API requests": requests})
    looks = lambdas(replace(counted.api, used={}))
    kept = RESULT_SIZE / 1e9
    durable = total(
        run,
        looks,
        {"durable operations": 2, "GB of durable data": kept, "GB-months of durable data": kept * DURABLE_DAYS / 30},
    )
    naive = total(
        looks,
        lambdas(replace(counted.worker, used={})),
        stored,
        {"write units": 3, "read units": requests - 1, "SQS requests": 3},
    )
    # the worker calls the receiver itself, while it is paid for
    called = {"Lambda GB-seconds": WAITS[RECEIVER][0] * 1769 / 1024}
    return {
        "Step Functions Standard, REST API": Bill(steps, {"state transitions": 1}),
        "durable functions, function URL": Bill(durable, {"durable operations": 1, **called}),
        "naive, function URL": Bill(naive, called),
        "naive, REST API": Bill(total(naive, {"REST API requests": requests}), called),
    }


def items(bill: Bill) -> list[tuple[str, float, float]]:
    """What a job with a webhook uses: the name, how much, and dollars for a million."""
    usage = total(bill.job, bill.webhook)
    return [(name, usage[name], PRICES[name].dollars * usage[name]) for name in PRICES if name in usage]


def main() -> None:
    """Count, measure and print."""
    counted, measured = count_job(), measure(result.name, "bench.bill_job")
    write = sys.stdout.write
    write("A job with a webhook, by function URL\n")
    doors = front_doors(counted, measured)
    for name, used, cost in items(doors["function URL"]):
        write(f"  {name:22}{used:14.6g}{cost:10.2f} $ a million   {HOW.get(name, 'counted')}\n")
    write("An invocation\n")
    for name, one in measured.items():
        write(f"  {name:22}{one.cpu * 1000:10.2f} ms of CPU{one.log:8.0f} bytes of log\n")
    write("Estimated\n")
    for name, (seconds, source) in WAITS.items():
        write(f"  {name:22}{seconds * 1000:10.0f} ms ({source})\n")
    write(f"\n{'$ a million jobs':36}" + "".join(f"{share:>11.0%}" for share in SHARES) + "  with a webhook\n")
    for name, bill in {**doors, **alternatives(counted, measured)}.items():
        write(f"{name:36}" + "".join(f"{bill.dollars(share):11.2f}" for share in SHARES) + "\n")
    write(f"\nLoad balancer, containers and authorizer: at {LOAD:g} jobs a second, with one key.\n")


if __name__ == "__main__":
    main()
