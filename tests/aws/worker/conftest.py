"""Stores of the worker's tests' own: their sweeps, on clocks hours ahead, must not meet what other tests left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from coatcheck.deployment import WEBHOOKS, Deployment
from coatcheck.table import items, notes
from coatcheck.table.webhooks import update_delivery
from infra.embedded.stack import client
from infra.template import read_template
from tests.aws import emulators
from tests.aws.worker.moody import Moody, moody
from tests.aws.worker.office import Office
from tests.aws.worker.world import World
from worker.aws import Boto

TABLE_PARAMS = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


@pytest.fixture(scope="module", name="deployment")
def own_deployment(deployment: Deployment, emulator_url: str) -> Deployment:
    """The template's stores, with a second table like the first, and other queues."""
    name = f"worker-{secrets.token_hex(6)}"
    described = read_template()["Resources"]["Table"]["Properties"]
    client("dynamodb", emulator_url).create_table(TableName=name, **{param: described[param] for param in TABLE_PARAMS})
    sqs = client("sqs", emulator_url)

    def queues(kind: str) -> dict[str, str]:
        lanes = ("default", WEBHOOKS)
        return {lane: sqs.create_queue(QueueName=f"{name}-{lane}-{kind}")["QueueUrl"] for lane in lanes}

    changes = {"table": name, "queues": queues("live"), "dead_letters": queues("dead"), "webhook_targets": "local"}
    return deployment.model_copy(update=changes)


@pytest.fixture(scope="module", name="aws")
def own_door(emulator_url: str) -> Boto:
    """The worker's door."""
    return emulators.connect(emulator_url)


@pytest.fixture
def world(aws: Boto, deployment: Deployment, tenant: str) -> Iterator[World]:
    """A world of its own; what it leaves due is settled, so that it does not trouble the next test's sweeps."""
    made = World(aws, deployment, tenant)
    yield made
    for entry in aws.send(items.list_jobs(deployment.table, tenant, limit=100)).entries:
        job = aws.send(items.get_job(deployment.table, entry.key))
        assert job is not None
        aws.send(notes.postpone(deployment.table, job, due_at=None, dispatches=0))


@pytest.fixture
def office(world: World) -> Iterator[Office]:
    """The deliverer of its world, and a queue of webhooks without messages; what it leaves due is settled."""
    made = Office(world)
    made.messages()
    yield made
    made.messages()
    for job in made.jobs:
        for delivery in made.deliveries(job):
            world.door.send(update_delivery(world.deployment.table, replace(delivery, due_at=None)))


@pytest.fixture
def receiver() -> Iterator[Moody]:
    """A receiver on loopback, in a good mood."""
    with moody() as made:
        yield made
