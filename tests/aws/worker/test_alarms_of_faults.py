"""Faults made on purpose, each through the flows that meet it: the alarms that should be raised are, and no other.

The value of each metric is computed from the very lines that were written.
"""

from __future__ import annotations

import asyncio
import functools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from coatcheck.authoring.context import Context
from coatcheck.aws_transport.environment import AwsEnvironment
from coatcheck.aws_transport.sync_transport import LeanTransport
from coatcheck.aws_transport.transport_config import Timeouts, TransportConfig
from coatcheck.core.aws.call import AwsUnavailable
from coatcheck.core.aws.sqs import ReceivedMessage, depth
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck_infra.project.template_alarms import render_failure_alarms
from coatcheck_infra.template import read_template
from coatcheck_worker.protocol import RunJob
from coatcheck_worker.runners import AttemptPort, Died
from coatcheck_worker.supervisor.job_messages import handle
from tests.alarm_states import Alarm, Metrics, Number, raised, spread
from tests.aws.emulators import environ_of
from tests.aws.transport.faulty_endpoint import Move, faulty_endpoint
from tests.aws.worker.delivery_harness import DeliveryHarness
from tests.aws.worker.faulty_receiver import REFUSES, FaultyReceiver
from tests.aws.worker.worker_harness import Number as Value
from tests.aws.worker.worker_harness import WorkerHarness, double
from tests.direct_runners import DirectRunner, DirectRunners
from tests.log_lines import LogLines, log_lines
from tests.metric_lines import NAMESPACE, Datum, MetricLines, metric_lines
from tests.transports import ProcessDied, crash_at
from tests.unit.service.in_process import app, client

pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)

CONFIG = TransportConfig(Timeouts(connect=5.0, answer=20.0), attempts=1, idle_connections=4)


@functools.cache
def template_alarms() -> Mapping[str, Alarm]:
    """The alarms of the template, for a project that wants one of its job type, too."""
    resources = render_failure_alarms(read_template(), ["test.job"])["Resources"]
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"}


@functools.cache
def filters() -> list[tuple[str, list[str]]]:
    """The metric filters of the worker's log: the metric, and the words that a line must have."""
    found = [one for one in read_template()["Resources"].values() if one["Type"] == "AWS::Logs::MetricFilter"]
    return [
        (one["Properties"]["MetricTransformations"][0]["MetricName"], shlex.split(one["Properties"]["FilterPattern"]))
        for one in found
        if one["Properties"]["LogGroupName"] == {"Ref": "WorkerLog"}
    ]


@dataclass
class Deployment:
    """A worker, a sweeper and a deliverer of one tenant, and what they have told."""

    harness: WorkerHarness
    deliveries: DeliveryHarness
    receiver: FaultyReceiver
    told: MetricLines
    logged: LogLines
    of_aws: dict[str, Number] = field(default_factory=dict)

    def sweep(self) -> None:
        self.harness.sweep(self.harness.dependencies(double))
        # as a function does at the end of an invocation
        self.told.pump.flush()

    def metrics(self, lasts: int, times: int) -> Metrics:
        told = self.told.data()
        # after the lines were written: what is later than now does not count
        now = self.harness.clock()
        lines = self.logged.text().splitlines()
        counted = [
            Datum(NAMESPACE, name, {}, 1, now)
            for name, words in filters()
            for line in lines
            if all(word in line for word in words)
        ]
        return Metrics(spread([*told, *counted], lasts, times), now, self.of_aws)


@pytest.fixture
def deployment(
    harness: WorkerHarness, delivery_harness: DeliveryHarness, receiver: FaultyReceiver
) -> Iterator[Deployment]:
    with metric_lines(clock=harness.clock) as told, log_lines() as logged:
        yield Deployment(harness, delivery_harness, receiver, told, logged)


def fails(_: Value, __: Context) -> NoReturn:
    raise OSError("what it depends on is down")


class MemoryRunner(DirectRunner):
    """A runner that the kernel kills, as it has asked for too much memory."""

    def run(self, job: RunJob, body: bytes, port: AttemptPort) -> Died:  # noqa: ARG002
        return Died("its process was killed by signal 9 (SIGKILL)")


class MemoryRunners(DirectRunners):
    @contextmanager
    def take(self, job_type: str) -> Iterator[DirectRunner]:  # noqa: ARG002
        yield MemoryRunner(self, self.handlers)


def nothing(made: Deployment) -> None:
    """A job that succeeds, and a webhook that arrives."""
    job = made.deliveries.ended()
    (delivery,) = made.deliveries.announced(job) or [made.deliveries.ping(made.deliveries.endpoint(made.receiver.url))]
    made.deliveries.deliver(delivery)


def worker_dead(made: Deployment) -> None:
    for _ in range(3):
        job = made.harness.submit()
        with suppress(ProcessDied):
            made.harness.run(made.harness.dependencies(double, crash_at(made.harness.transport, 0, after=True)), job)
    made.harness.clock.ahead += 61 * SECOND


def type_failing(made: Deployment) -> None:
    for _ in range(10):
        made.harness.run(made.harness.dependencies(fails), made.harness.submit(max_attempts=1))


def runner_without_memory(made: Deployment) -> None:
    dependencies = made.harness.dependencies(double)
    assert isinstance(dependencies.runners, DirectRunners)
    given = dependencies.runners
    runners = MemoryRunners(given.handlers, given.transport, given.clock)
    for _ in range(3):
        made.harness.run(replace(dependencies, runners=runners), made.harness.submit(max_attempts=1))


def receiver_down(made: Deployment) -> None:
    made.receiver.set_mode(REFUSES)
    for _ in range(20):
        made.deliveries.deliver(made.deliveries.ping(made.deliveries.endpoint(made.receiver.url)))


def deliverer_behind(made: Deployment) -> None:
    ping = made.deliveries.ping(made.deliveries.endpoint(made.receiver.url))
    made.harness.clock.ahead += 6 * MINUTE
    made.deliveries.deliver(ping)


def sweeper_stopped(made: Deployment) -> None:
    made.sweep()
    made.harness.clock.ahead += 6 * MINUTE


def full_lane(made: Deployment) -> None:
    made.harness.submit()
    made.harness.clock.ahead += HOUR + MINUTE


def slow_lane(made: Deployment) -> None:
    job = made.harness.submit()
    made.harness.clock.ahead += HOUR + MINUTE
    made.harness.run(made.harness.dependencies(double), job)


def table_that(move: Move) -> Callable[[Deployment], None]:
    """A sweep on a table that answers in this way alone."""

    def fault(made: Deployment) -> None:
        with faulty_endpoint() as endpoint:
            endpoint.otherwise = move
            environment = AwsEnvironment(environ_of(endpoint.url), _no_sdk, Path("/nowhere"), "")
            transport = LeanTransport(environment, _no_sdk, CONFIG)
            with pytest.raises(Exception, match=r"dynamodb|sqs"):
                made.harness.sweep(made.harness.dependencies(double, transport))

    return fault


def _no_sdk() -> Any:
    raise AssertionError("the SDK is asked")


def api_answers_5xx(_: Deployment) -> None:
    async def ask() -> int:
        async with client(app(AwsUnavailable)) as asking:
            return (await asking.get("/v1/jobs/job_1")).status_code

    assert asyncio.run(ask()) == 503


def dead_letters(made: Deployment) -> None:
    settings = made.harness.settings
    message = ReceivedMessage(settings.queues["default"], "handle", json.dumps({"not": "a job"}), "m-1", 1)
    assert handle(made.harness.dependencies(double), message)
    waiting = made.harness.transport.send(depth(settings.dead_letters["default"]))
    # this metric is SQS's own, of each queue under the same name
    made.of_aws["ApproximateNumberOfMessagesVisible"] = waiting


DEAD_LETTERS = {"DefaultDeadLettersArrived", "HeavyDeadLettersArrived", "WebhooksDeadLettersArrived"}
BROKEN_SWEEPS = {"SweeperBehind"}

FAULTS: list[tuple[Callable[[Deployment], None], tuple[int, int], set[str]]] = [
    (nothing, (300, 3), set()),
    (worker_dead, (300, 1), {"DefaultWorkersLost"}),
    (type_failing, (300, 2), {"DefaultJobsFail", "JobTypeTestJobFails"}),
    (runner_without_memory, (300, 1), {"DefaultHandlersCrash", "JobTypeTestJobFails"}),
    (receiver_down, (300, 2), {"WebhooksFail"}),
    (deliverer_behind, (300, 2), {"WebhooksLate"}),
    (sweeper_stopped, (300, 1), {"SweeperStopped"}),
    (full_lane, (300, 1), {"DefaultQueueWaits"}),
    (slow_lane, (300, 1), {"DefaultQueueWaits"}),
    (table_that(Move.THROTTLED), (60, 3), {"TableThrottled", *BROKEN_SWEEPS}),
    (table_that(Move.DENIED), (60, 3), {"AwsRefuses", *BROKEN_SWEEPS}),
    (api_answers_5xx, (300, 1), {"ApiFails"}),
    (dead_letters, (300, 1), DEAD_LETTERS),
]
NAMES = ["nothing", "worker dead", "type failing", "no memory", "receiver down", "deliverer behind", "sweeper stopped"]
NAMES += ["full lane", "slow lane", "table throttled", "permission refused", "API 5xx", "dead letters"]


@pytest.mark.parametrize(("fault", "lasting", "expected"), FAULTS, ids=NAMES)
def test_a_fault_raises_the_alarms_that_it_should_and_no_other(
    deployment: Deployment,
    fault: Callable[[Deployment], None],
    lasting: tuple[int, int],
    expected: set[str],
) -> None:
    fault(deployment)
    if "SweeperStopped" not in expected and not expected & BROKEN_SWEEPS:
        deployment.sweep()

    assert raised(template_alarms(), deployment.metrics(*lasting)) == expected
