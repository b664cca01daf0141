"""What a job costs: in requests to AWS, and in what AWS bills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bench.aws_cost import INPUTS, POLL_COUNT, Meter, cost_of_job, cost_of_webhook, metered
from bench.bill import alternatives, front_doors
from bench.bill_usage import CountedJob, count_job
from bench.lambda_invocations import FUNCTIONS, Invocation
from bench.prices import PRICES
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import Settings
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.supervisor.poller import Poller
from tests.aws.service.running_service import Api, clients_of, run_service
from tests.aws.worker.faulty_receiver import faulty_receiver
from tests.direct_runners import DirectRunners, step
from tests.example_jobs import HANDLERS
from tests.transports import FaultyTransport


@pytest.fixture
def api(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[Api]:
    """A service whose queue no other test uses."""
    with run_service(settings, aws, emulator_url) as running_service, clients_of(running_service) as clients:
        yield clients


def test_a_no_op_job_is_six_requests_one_at_a_time(api: Api) -> None:
    # who listens to a tenant's jobs is read once in ten seconds, however many it submits
    api.submit(delay=3600)
    api.spy.calls.clear()

    worker = FaultyTransport(api.running_service.worker)
    runners = DirectRunners(HANDLERS, worker)
    dependencies = Dependencies(worker, api.running_service.settings, system_clock, roll=lambda: 0.5, runners=runners)
    # so are its limits in half a minute
    dependencies.limits.get(worker, api.running_service.settings.table, api.tenant, now=system_clock())
    worker.calls.clear()

    job = api.submit(type="demo.sleep", input={"seconds": 0})
    step(Poller(dependencies, api.running_service.settings.queues["default"], grace=0))

    assert api.http.get(f"/v1/jobs/{job['id']}").json()["status"] == "succeeded"
    assert api.spy.operations[:2] == ["PutItem", "SendMessage"]
    assert worker.operations == ["ReceiveMessage", "UpdateItem", "UpdateItem", "DeleteMessage"]


@pytest.fixture(scope="module")
def billed() -> Iterator[Meter]:
    """A service whose bill is kept."""
    with metered() as meter:
        yield meter


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one"}], ids=["", "with a key"])
@pytest.mark.parametrize("given", ["nothing", "1 KB of records"])
def test_a_job_of_1_kb_in_and_out_is_six_write_units_and_no_request_to_s3(
    billed: Meter, given: str, headers: dict[str, str]
) -> None:
    headers = {name: f"{value} {given}".replace(" ", "-") for name, value in headers.items()}
    job, fetched = cost_of_job(billed, INPUTS[given], headers)
    assert job.used == {"write units": 6, "read units": POLL_COUNT, "SQS requests": 3}
    assert fetched.used == {"read units": 1}


def test_a_kilobyte_that_does_not_deflate_is_stored_in_s3_once(billed: Meter) -> None:
    job, fetched = cost_of_job(billed, INPUTS["1 KB of base64"])
    assert (job.used["S3 writes"], job.used["S3 reads"], job.used["read units"]) == (1, 1, POLL_COUNT)
    # the result is in the row
    assert fetched.used == {"read units": 1}


def test_a_job_of_a_tenant_with_a_running_cap_is_six_write_units_more(billed: Meter) -> None:
    table, tenant = billed.api.running_service.settings.table, billed.api.tenant
    try:
        billed.api.running_service.worker.send(change_limits(table, tenant, {"jobs_running": 2}))
        job, _ = cost_of_job(billed, {})
    finally:
        billed.api.running_service.worker.send(change_limits(table, tenant, {"jobs_running": None}))
    # the row before the claim, and the counts after the end: both are read
    assert job.used == {"write units": 12, "read units": POLL_COUNT + 2, "SQS requests": 3}


def test_a_webhook_is_six_write_units_more(billed: Meter) -> None:
    with faulty_receiver() as receiver:
        assert cost_of_webhook(billed, receiver).used == {"write units": 6, "read units": 4, "SQS requests": 3}


@pytest.mark.parametrize(
    ("limits", "more"),
    [
        ({"webhook_endpoints": 5}, {}),
        ({"submit_rate": 1000}, {"write units": 1}),
        ({"submit_rate": 1000, "bytes_stored": 10**9}, {"write units": 1}),
        # one at the submit, one at the start
        ({"jobs_waiting": 1000}, {"write units": 2}),
        ({"submit_rate": 1000, "jobs_waiting": 1000, "bytes_stored": 10**9}, {"write units": 2}),
    ],
    ids=["no limit of submits", "rate", "rate, bytes", "waiting", "all"],
)
def test_limits_cost_one_write_unit_at_a_submit_however_many_they_are(
    billed: Meter, limits: dict[str, Any], more: dict[str, int]
) -> None:
    running = billed.api.running_service
    tenant, key = running.new_tenant()
    running.worker.send(change_limits(running.settings.table, tenant, limits))
    with httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {key}"}) as http:
        meter = replace(billed, api=replace(billed.api, tenant=tenant, http=http))
        meter.submit_delayed_job()
        job, _ = cost_of_job(meter, INPUTS["nothing"])
        with_key, _ = cost_of_job(meter, INPUTS["nothing"], {"Idempotency-Key": "one"})
    base = Counter({"write units": 6, "read units": POLL_COUNT, "SQS requests": 3})
    assert job.used == base + Counter(more)
    # a repeat must not count, so whether it is one is read first
    assert with_key.used == base + Counter(more) + Counter({"read units": 1} if more else {})


@pytest.fixture(scope="module")
def counted() -> CountedJob:
    """The job of the bill: 20 KB of result, three looks, a fetch, and a webhook."""
    return count_job()


def test_the_job_of_the_bill(counted: CountedJob) -> None:
    assert counted.api.used == {"write units": 3, "read units": POLL_COUNT + 1, "SQS requests": 1, "S3 reads": 1}
    assert counted.worker.used == {"write units": 4, "SQS requests": 2, "S3 writes": 1}
    assert counted.webhook.used == {"write units": 6, "read units": 4, "SQS requests": 3}
    assert counted.api.invocations == {"submit": 1, "look": POLL_COUNT, "fetch": 1}
    # who makes the delivery attempts it
    assert counted.webhook.invocations == {"deliver": 1}


def test_a_bill_is_the_sum_of_what_is_used_at_its_price(counted: CountedJob) -> None:
    measured = dict.fromkeys(FUNCTIONS, Invocation(cpu=0.001, log=1000))
    doors = front_doors(counted, measured)
    assert all(item in PRICES for bill in {**doors, **alternatives(counted, measured)}.values() for item in bill.job)
    by_url, by_gateway = doors["function URL"], doors["REST API"]
    # five requests at 3.50 dollars
    assert by_gateway.dollars(1) - by_url.dollars(1) == pytest.approx(17.5)
    assert by_url.dollars(0.5) == pytest.approx((by_url.dollars(0) + by_url.dollars(1)) / 2)
    # a look: one read unit, one request, 5 ms of waiting and 1 ms of a CPU, of which 1024 MB have 1024/1769
    looks = by_url.job["Lambda GB-seconds"]
    slower = front_doors(counted, {**measured, "look": Invocation(cpu=0.002, log=1000)})
    more = slower["function URL"].job["Lambda GB-seconds"] - looks
    assert more == pytest.approx(POLL_COUNT * 0.001 * 1769 / 1024)


def test_each_price_names_its_page() -> None:
    assert all(price.source.startswith("https://aws.amazon.com/") for price in PRICES.values())
