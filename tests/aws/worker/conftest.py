"""Stores of the worker's tests' own: their sweeps, on clocks hours ahead, must not meet what other tests left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.aws.dynamodb.webhook_items import update_delivery
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck_infra.local.resources import client
from coatcheck_infra.template import read_template
from tests.aws import emulators
from tests.aws.worker.delivery_harness import DeliveryHarness
from tests.aws.worker.faulty_receiver import FaultyReceiver, faulty_receiver
from tests.aws.worker.worker_harness import WorkerHarness

TABLE_PARAMS = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


@pytest.fixture(scope="module", name="settings")
def own_deployment(settings: Settings, emulator_url: str) -> Settings:
    """The template's stores, with a second table like the first, and other queues."""
    name = f"worker-{secrets.token_hex(6)}"
    described = read_template()["Resources"]["Table"]["Properties"]
    client("dynamodb", emulator_url).create_table(TableName=name, **{param: described[param] for param in TABLE_PARAMS})
    sqs = client("sqs", emulator_url)

    def queues(kind: str) -> dict[str, str]:
        lanes = ("default", WEBHOOKS)
        return {lane: sqs.create_queue(QueueName=f"{name}-{lane}-{kind}")["QueueUrl"] for lane in lanes}

    changes = {"table": name, "queues": queues("live"), "dead_letters": queues("dead"), "webhook_targets": "local"}
    return settings.model_copy(update=changes)


@pytest.fixture(scope="module", name="aws")
def own_transport(emulator_url: str) -> Transport:
    """The worker's door."""
    return emulators.connect(emulator_url)


@pytest.fixture
def harness(aws: Transport, settings: Settings, tenant: str) -> Iterator[WorkerHarness]:
    """A world of its own; what it leaves due is settled, so that it does not trouble the next test's sweeps."""
    made = WorkerHarness(aws, settings, tenant)
    yield made
    for entry in aws.send(job_items.list_jobs(settings.table, tenant, limit=100)).entries:
        job = aws.send(job_items.get_job(settings.table, entry.key))
        assert job is not None
        aws.send(job_updates.postpone(settings.table, job, due_at=None, dispatches=0))


@pytest.fixture
def delivery_harness(harness: WorkerHarness) -> Iterator[DeliveryHarness]:
    """The deliverer of its world, and a queue of webhooks without messages; what it leaves due is settled."""
    made = DeliveryHarness(harness)
    made.messages()
    yield made
    made.messages()
    for job in made.jobs:
        for delivery in made.deliveries(job):
            harness.transport.send(update_delivery(harness.settings.table, replace(delivery, due_at=None)))


@pytest.fixture
def receiver() -> Iterator[FaultyReceiver]:
    """A receiver on loopback, in a good mood."""
    with faulty_receiver() as made:
        yield made
