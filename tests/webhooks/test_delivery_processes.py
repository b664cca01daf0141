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

from coatcheck.core.aws.dynamodb.webhook_items import put_endpoint
from coatcheck.core.aws.sqs import receive
from coatcheck.core.clock import system_clock
from coatcheck.core.ids import make_id
from coatcheck.core.job import Job
from coatcheck.core.messages import JobMessage
from coatcheck.core.webhooks import DeliveryAttempt, DeliveryStatus, WebhookEndpoint
from coatcheck_worker import aws_deliverer_lambda, lambda_process
from coatcheck_worker.webhooks.create_deliveries import create_deliveries
from coatcheck_worker.webhooks.delivery_context import targets_of
from tests.aws.worker.faulty_receiver import SILENT, FaultyReceiver, faulty_receiver
from tests.kill.emulator import ENDS, Emulator, emulator
from tests.kill.job_type import KillInput
from tests.kill.recovery import running
from tests.repository import ROOT
from tests.waiting import eventually

PATIENCE = 30.0


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("stores"), lease=60) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[FaultyReceiver]:
    with faulty_receiver() as made:
        yield made


@dataclass
class SubscribedTenant:
    """A tenant of this test's own."""

    stores: Emulator
    tenant: str

    def endpoint(self, url: str) -> None:
        made = WebhookEndpoint(self.tenant, make_id("whe", secrets.token_bytes(16)), url, ENDS, system_clock())
        self.stores.aws.send(put_endpoint(self.stores.settings.table, made))
        self.stores.subscribed.add(self.tenant)

    def ended(self) -> Job:
        now = system_clock()
        return self.stores.put(
            self.tenant,
            KillInput(do="few"),
            status="failed",
            attempt=1,
            started_at=now,
            finished_at=now,
            expires_at=now * 2,
        )

    def wake(self, job: Job) -> None:
        self.stores.send(self.stores.settings.queues["webhooks"], job)

    def attempts(self, job: Job) -> list[DeliveryAttempt]:
        return [attempt for one in self.stores.deliveries(job) for attempt in one.attempts]


@pytest.fixture
def subscriber(stores: Emulator) -> SubscribedTenant:
    return SubscribedTenant(stores, f"t-{secrets.token_hex(6)}")


def test_the_supervisor_works_off_the_webhooks_beside_the_lanes_of_jobs(
    stores: Emulator, subscriber: SubscribedTenant, receiver: FaultyReceiver
) -> None:
    subscriber.endpoint(receiver.url)
    job = subscriber.ended()
    with running(stores, "coatcheck_worker", "--memory", "2048") as supervisor:
        subscriber.wake(job)
        eventually(lambda: len(receiver.received) == 1)
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
        commands = [Path(f"/proc/{child}/cmdline").read_text().split("\0")[2] for child in children]
        assert sorted(commands) == [
            "coatcheck_worker.supervisor",
            "coatcheck_worker.supervisor",
            "coatcheck_worker.webhooks",
        ]
    assert supervisor.returncode == 0
    assert [attempt.status_code for attempt in subscriber.attempts(job)] == [200]


def test_a_deliverer_that_is_told_to_end_finishes_what_it_has_begun(
    stores: Emulator, subscriber: SubscribedTenant, receiver: FaultyReceiver
) -> None:
    subscriber.endpoint(receiver.url)
    receiver.set_mode(SILENT)
    job = subscriber.ended()
    with running(stores, "coatcheck_worker.webhooks", "--threads", "2") as process:
        subscriber.wake(job)
        eventually(lambda: len(receiver.received) == 1)
        process.send_signal(signal.SIGTERM)
        receiver.close()
        process.wait(PATIENCE)
    assert process.returncode == 0
    (attempt,) = subscriber.attempts(job)
    assert (attempt.status_code, attempt.error is None) == (None, False)


def test_a_deliverer_ends_with_its_parent(stores: Emulator) -> None:
    command = [sys.executable, "-m", "coatcheck_worker.webhooks"]
    with subprocess.Popen(command, env=stores.environment(), stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        time.sleep(1)
        process.stdin.close()
        assert process.wait(PATIENCE) in {0, -signal.SIGTERM}


def test_a_deliverer_lives_through_an_outage(stores: Emulator) -> None:
    env = stores.environment() | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-m", "coatcheck_worker.webhooks"]
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
            "coatcheck_worker.supervisor",
            ("--lane", "webhooks", "--memory", "512"),
            "lane webhooks has no jobs: it is worked off by python -m coatcheck_worker.webhooks",
        ),
        (
            "coatcheck_worker.webhooks",
            ("--threads", "0"),
            "python -m coatcheck_worker.webhooks: error: --threads must be 1 or more",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    stores: Emulator, module: str, options: tuple[str, ...], line: str
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
def function(stores: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any], Context], Any]]:
    """The deliverer's function, in an environment as its container has it."""
    for name, value in stores.environment().items():
        monkeypatch.setenv(name, value)
    caches = (aws_deliverer_lambda._delivery_context, lambda_process.dependencies)
    for cache in caches:
        cache.cache_clear()
    yield aws_deliverer_lambda.deliver
    for cache in caches:
        cache.cache_clear()


def records(subscriber: SubscribedTenant) -> dict[str, Any]:
    """The tenant's messages, as Lambda hands them over."""
    queue = subscriber.stores.settings.queues["webhooks"]
    found = [received for _ in range(4) for received in subscriber.stores.aws.send(receive(queue, wait=0, limit=10))]
    arn = f"arn:aws:sqs:test:0:{queue.rsplit('/', 1)[-1]}"
    return {
        "Records": [
            {
                "messageId": one.message_id,
                "receiptHandle": one.receipt_handle,
                "body": one.body,
                "eventSourceARN": arn,
                "attributes": {"ApproximateReceiveCount": str(one.receive_count)},
            }
            for one in found
            if subscriber.tenant in one.body
        ]
    }


def test_the_function_delivers_a_batch_and_reports_what_is_to_come_again(
    subscriber: SubscribedTenant, receiver: FaultyReceiver, function: Callable[[dict[str, Any], Context], Any]
) -> None:
    # two deliveries of a job get a message each
    for _ in range(2):
        subscriber.endpoint(receiver.url)
    jobs = [subscriber.ended() for _ in range(3)]
    for job in jobs:
        subscriber.wake(job)
    assert function(records(subscriber), Context(60_000)) == {"batchItemFailures": []}
    receiver.set_mode("500 Oops")
    event = records(subscriber)
    assert len(event["Records"]) == 6
    failures = function(event, Context(60_000))["batchItemFailures"]
    assert {one["itemIdentifier"] for one in failures} == {one["messageId"] for one in event["Records"]}
    assert [attempt.status_code for job in jobs for attempt in subscriber.attempts(job)] == [500] * 6


def test_the_function_attempts_the_only_delivery_of_a_job_at_once(
    stores: Emulator,
    subscriber: SubscribedTenant,
    receiver: FaultyReceiver,
    function: Callable[[dict[str, Any], Context], Any],
) -> None:
    subscriber.endpoint(receiver.url)
    job = subscriber.ended()
    subscriber.wake(job)
    assert function(records(subscriber), Context(60_000)) == {"batchItemFailures": []}
    assert [attempt.status_code for attempt in subscriber.attempts(job)] == [200]
    assert records(subscriber) == {"Records": []}

    receiver.set_mode("500 Oops")
    failing = subscriber.ended()
    subscriber.wake(failing)
    assert function(records(subscriber), Context(60_000)) == {"batchItemFailures": []}
    assert [attempt.status_code for attempt in subscriber.attempts(failing)] == [500]
    (delivery,) = stores.deliveries(failing)
    eventually(lambda: delivery.key.id in str(records(subscriber)))


def test_the_function_begins_nothing_that_it_cannot_end(
    stores: Emulator,
    subscriber: SubscribedTenant,
    receiver: FaultyReceiver,
    function: Callable[[dict[str, Any], Context], Any],
) -> None:
    subscriber.endpoint(receiver.url)
    job = subscriber.ended()
    create_deliveries(lambda_process.dependencies(), JobMessage(tenant=job.tenant, job=job.id))
    event = records(subscriber)
    failures = function(event, Context(aws_deliverer_lambda.ATTEMPT_MARGIN))["batchItemFailures"]
    assert len(failures) == len(event["Records"]) == 1
    assert receiver.received == []
    (delivery,) = stores.deliveries(job)
    assert (delivery.status, delivery.tries) == (DeliveryStatus.PENDING, 0)


@pytest.mark.parametrize(
    ("ssrf_policy", "public_url", "refused", "open_"),
    [
        ("public", "https://jobs.example/prod", [("jobs.example", 443), ("jobs.example", 8443)], [("other", 443)]),
        ("local", "http://127.0.0.1:8000", [("127.0.0.1", 8000), ("localhost", 8000)], [("127.0.0.1", 8001)]),
        ("local", "http://[::1]:8000", [("::1", 8000)], [("::1", 8001)]),
        ("local", "https://jobs.example", [("jobs.example", 443)], []),
        ("local", "", [], [("127.0.0.1", 8000)]),
    ],
)
def test_the_service_itself_is_no_target(
    stores: Emulator, ssrf_policy: str, public_url: str, refused: list[tuple[str, int]], open_: list[tuple[str, int]]
) -> None:
    more = {"webhook_targets": ssrf_policy, "public_url": public_url, "webhook_refused": "a1.example,b2.example"}
    made = targets_of(stores.settings.model_copy(update=more), "127.0.0.1:9001")
    assert made.loopback is (ssrf_policy == "local")
    for host, port in [*refused, ("127.0.0.1", 9001), ("a1.example", 443), ("b2.example", 8443)]:
        assert made.refuses(host, port)
    for host, port in open_:
        assert not made.refuses(host, port)
