"""The deliverer as the processes and the function that it runs as."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coatcheck.ids import make_id
from coatcheck.messages import JobMessage
from coatcheck.queues import receive
from coatcheck.record import Job
from coatcheck.table.webhooks import put_endpoint
from coatcheck.webhooks import Attempt, DeliveryStatus, Endpoint
from infra.embedded.processes import ROOT
from tests.aws.worker.moody import SILENT, Moody, moody
from tests.kill.ground import ENDS, Ground, ground
from tests.kill.healers import running
from tests.kill.work import Deed
from worker import aws_lambda
from worker.tools import system_clock
from worker.webhooks.announce import announce
from worker.webhooks.desk import targets_of

PATIENCE = 30.0


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("stores"), lease=60) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Moody]:
    with moody() as made:
        yield made


@dataclass
class Told:
    """A tenant of this test's own."""

    stores: Ground
    tenant: str

    def endpoint(self, url: str) -> None:
        made = Endpoint(self.tenant, make_id("whe", secrets.token_bytes(16)), url, ENDS, system_clock())
        self.stores.aws.send(put_endpoint(self.stores.deployment.table, made))
        self.stores.subscribed.add(self.tenant)

    def ended(self) -> Job:
        now = system_clock()
        return self.stores.put(
            self.tenant, Deed(do="few"), status="failed", attempt=1, started_at=now, finished_at=now, expires_at=now * 2
        )

    def wake(self, job: Job) -> None:
        self.stores.send(self.stores.deployment.queues["webhooks"], job)

    def attempts(self, job: Job) -> list[Attempt]:
        return [attempt for one in self.stores.deliveries(job) for attempt in one.attempts]


@pytest.fixture
def told(stores: Ground) -> Told:
    return Told(stores, f"t-{secrets.token_hex(6)}")


def until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_the_supervisor_works_off_the_webhooks_beside_the_lanes_of_jobs(
    stores: Ground, told: Told, receiver: Moody
) -> None:
    told.endpoint(receiver.url)
    job = told.ended()
    with running(stores, "worker", "--memory", "2048") as supervisor:
        told.wake(job)
        until(lambda: len(receiver.arrived) == 1)
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
        commands = [Path(f"/proc/{child}/cmdline").read_text().split("\0")[2] for child in children]
        assert sorted(commands) == ["worker.poller", "worker.poller", "worker.webhooks"]
    assert supervisor.returncode == 0
    assert [attempt.status_code for attempt in told.attempts(job)] == [200]


def test_a_deliverer_that_is_told_to_end_finishes_what_it_has_begun(
    stores: Ground, told: Told, receiver: Moody
) -> None:
    told.endpoint(receiver.url)
    receiver.be(SILENT)
    job = told.ended()
    with running(stores, "worker.webhooks", "--threads", "2") as process:
        told.wake(job)
        until(lambda: len(receiver.arrived) == 1)
        process.send_signal(signal.SIGTERM)
        receiver.close()
        process.wait(PATIENCE)
    assert process.returncode == 0
    (attempt,) = told.attempts(job)
    assert (attempt.status_code, attempt.error is None) == (None, False)


def test_a_deliverer_ends_with_its_parent(stores: Ground) -> None:
    command = [sys.executable, "-m", "worker.webhooks"]
    with subprocess.Popen(command, env=stores.environment(), stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        time.sleep(1)
        process.stdin.close()
        assert process.wait(PATIENCE) in {0, -signal.SIGTERM}


def test_a_deliverer_lives_through_an_outage(stores: Ground) -> None:
    env = stores.environment() | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-m", "worker.webhooks"]
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline().decode() for _ in range(2)]
        process.terminate()
        process.wait(PATIENCE)
    assert all("EndpointConnectionError; trying again" in line for line in lines), lines


@pytest.mark.parametrize(
    ("module", "options", "line"),
    [
        (
            "worker.poller",
            ("--lane", "webhooks", "--memory", "512"),
            "lane webhooks has no jobs: it is worked off by python -m worker.webhooks",
        ),
        ("worker.webhooks", ("--threads", "0"), "python -m worker.webhooks: error: --threads must be 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    stores: Ground, module: str, options: tuple[str, ...], line: str
) -> None:
    command = [sys.executable, "-m", module, *options]
    ended = subprocess.run(command, env=stores.environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1] == line


class Context:
    """What Lambda tells a function of its invocation."""

    def __init__(self, remaining: int) -> None:
        self._remaining = remaining

    def get_remaining_time_in_millis(self) -> int:
        return self._remaining


@pytest.fixture
def function(stores: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any], Context], Any]]:
    """The deliverer's function, in an environment as its container has it."""
    for name, value in stores.environment().items():
        monkeypatch.setenv(name, value)
    caches = (aws_lambda._desk, aws_lambda._tools)
    for cache in caches:
        cache.cache_clear()
    yield aws_lambda.deliver
    for cache in caches:
        cache.cache_clear()


def records(told: Told) -> dict[str, Any]:
    """The tenant's messages, as Lambda hands them over."""
    queue = told.stores.deployment.queues["webhooks"]
    found = [received for _ in range(4) for received in told.stores.aws.send(receive(queue, wait=0, limit=10))]
    arn = f"arn:aws:sqs:test:0:{queue.rsplit('/', 1)[-1]}"
    return {
        "Records": [
            {
                "messageId": one.message_id,
                "receiptHandle": one.handle,
                "body": one.body,
                "eventSourceARN": arn,
                "attributes": {"ApproximateReceiveCount": str(one.receives)},
            }
            for one in found
            if told.tenant in one.body
        ]
    }


def test_the_function_delivers_a_batch_and_reports_what_is_to_come_again(
    told: Told, receiver: Moody, function: Callable[[dict[str, Any], Context], Any]
) -> None:
    told.endpoint(receiver.url)
    jobs = [told.ended() for _ in range(5)]
    for job in jobs:
        told.wake(job)
    assert function(records(told), Context(60_000)) == {"batchItemFailures": []}
    receiver.be("500 Oops")
    event = records(told)
    assert len(event["Records"]) == 5
    failures = function(event, Context(60_000))["batchItemFailures"]
    assert {one["itemIdentifier"] for one in failures} == {one["messageId"] for one in event["Records"]}
    assert [attempt.status_code for job in jobs for attempt in told.attempts(job)] == [500] * 5


def test_the_function_begins_nothing_that_it_cannot_end(
    stores: Ground, told: Told, receiver: Moody, function: Callable[[dict[str, Any], Context], Any]
) -> None:
    told.endpoint(receiver.url)
    job = told.ended()
    announce(aws_lambda._tools(with_handlers=False), JobMessage(tenant=job.tenant, job=job.id))
    event = records(told)
    failures = function(event, Context(aws_lambda.ATTEMPT_MARGIN))["batchItemFailures"]
    assert len(failures) == len(event["Records"]) == 1
    assert receiver.arrived == []
    (delivery,) = stores.deliveries(job)
    assert (delivery.status, delivery.tries) == (DeliveryStatus.PENDING, 0)


@pytest.mark.parametrize(
    ("targets", "public_url", "refused", "open_"),
    [
        ("public", "https://jobs.example/prod", [("jobs.example", 443), ("jobs.example", 8443)], [("other", 443)]),
        ("local", "http://127.0.0.1:8000", [("127.0.0.1", 8000), ("localhost", 8000)], [("127.0.0.1", 8001)]),
        ("local", "http://[::1]:8000", [("::1", 8000)], [("::1", 8001)]),
        ("local", "https://jobs.example", [("jobs.example", 443)], []),
        ("local", "", [], [("127.0.0.1", 8000)]),
    ],
)
def test_the_service_itself_is_no_target(
    stores: Ground, targets: str, public_url: str, refused: list[tuple[str, int]], open_: list[tuple[str, int]]
) -> None:
    more = {"webhook_targets": targets, "public_url": public_url, "webhook_refused": "a1.example,b2.example"}
    made = targets_of(stores.deployment.model_copy(update=more), "127.0.0.1:9001")
    assert made.loopback is (targets == "local")
    for host, port in [*refused, ("127.0.0.1", 9001), ("a1.example", 443), ("b2.example", 8443)]:
        assert made.refuses(host, port)
    for host, port in open_:
        assert not made.refuses(host, port)
