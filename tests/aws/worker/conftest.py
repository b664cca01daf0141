"""A table of the worker's tests' own: their sweeps, on clocks hours ahead, must not meet what other tests left."""

from __future__ import annotations

import secrets

import pytest

from coatcheck.deployment import Deployment
from infra.embedded.stack import client
from infra.template import read_template
from tests.aws import emulators
from worker.aws import Boto

TABLE_PARAMS = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


@pytest.fixture(scope="module", name="deployment")
def own_deployment(deployment: Deployment, emulator_url: str) -> Deployment:
    """The template's stores, with a second table like the first."""
    name = f"worker-{secrets.token_hex(6)}"
    described = read_template()["Resources"]["Table"]["Properties"]
    client("dynamodb", emulator_url).create_table(TableName=name, **{param: described[param] for param in TABLE_PARAMS})
    return deployment.model_copy(update={"table": name})


@pytest.fixture(scope="module", name="aws")
def own_door(emulator_url: str) -> Boto:
    """The worker's door."""
    return emulators.connect(emulator_url)
