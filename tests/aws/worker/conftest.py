"""Stores of the worker's tests' own: their sweeps, on clocks hours ahead, must not meet what other tests left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from coatcheck.deployment import Deployment
from coatcheck.table import items, notes
from infra.embedded.stack import client
from infra.template import read_template
from tests.aws import emulators
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
    queue, dead = (sqs.create_queue(QueueName=f"{name}-{kind}")["QueueUrl"] for kind in ("jobs", "dead"))
    changes = {"table": name, "queues": {"default": queue}, "dead_letters": {"default": dead}}
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
