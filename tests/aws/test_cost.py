"""What a job costs: in requests to AWS, and in what AWS bills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.bill import GIVEN, POLLS, Meter, bill_of, bill_of_webhook, metered
from coatcheck.deployment import Deployment
from jobs.handlers import HANDLERS
from tests.aws.service.stage import Api, staged, visited
from tests.aws.worker.doors import Counting
from tests.aws.worker.moody import moody
from worker.aws import Boto
from worker.poller import Poller
from worker.tools import Tools, system_clock


@pytest.fixture
def api(emulator_url: str, deployment: Deployment, aws: Boto) -> Iterator[Api]:
    """A service whose queue no other test uses."""
    with staged(deployment, aws, emulator_url) as stage, visited(stage) as clients:
        yield clients


def test_a_no_op_job_is_six_requests_one_at_a_time(api: Api) -> None:
    # who listens to a tenant's jobs is read once in ten seconds, however many it submits
    api.submit(delay=3600)
    api.spy.sent.clear()

    job = api.submit(type="demo.sleep", input={"seconds": 0})

    worker = Counting(api.stage.worker)
    tools = Tools(worker, api.stage.deployment, HANDLERS, clock=system_clock, roll=lambda: 0.5)
    Poller(tools, api.stage.deployment.queues["default"], grace=0).step()

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
    job, fetched = bill_of(billed, GIVEN[given], headers)
    assert job.used == {"write units": 6, "read units": POLLS, "SQS requests": 3}
    assert fetched.used == {"read units": 1}


def test_a_kilobyte_that_does_not_deflate_is_stored_in_s3_once(billed: Meter) -> None:
    job, fetched = bill_of(billed, GIVEN["1 KB of base64"])
    assert (job.used["S3 writes"], job.used["S3 reads"], job.used["read units"]) == (1, 1, POLLS)
    # the result is in the row
    assert fetched.used == {"read units": 1}


def test_a_webhook_is_seven_write_units_more(billed: Meter) -> None:
    with moody() as receiver:
        assert bill_of_webhook(billed, receiver).used == {"write units": 7, "read units": 5, "SQS requests": 6}
