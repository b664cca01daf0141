"""What a job costs in requests to AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coatcheck.deployment import Deployment
from jobs.handlers import HANDLERS
from tests.aws.service.stage import Api, staged, visited
from tests.aws.worker.doors import Counting
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
