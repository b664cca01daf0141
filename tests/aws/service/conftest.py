"""The service on the stores of both emulators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coatcheck.deployment import Deployment
from coatcheck.table.keys import JobKey
from tests.aws.service.functions import Invoke, function
from tests.aws.service.stage import Api, Stage, staged, visited
from tests.shelf import Shelf
from worker.aws import Boto


@pytest.fixture(scope="session")
def stage(emulator_url: str, deployment: Deployment, aws: Boto) -> Iterator[Stage]:
    """The service, on the template's stores."""
    with staged(deployment, aws, emulator_url) as running:
        yield running


@pytest.fixture
def api(stage: Stage) -> Iterator[Api]:
    """The service as a tenant of this test's own sees it."""
    with visited(stage) as clients:
        yield clients


@pytest.fixture
def invoke(api: Api, tmp_path: Path, emulator_url: str) -> Invoke:
    """A Lambda function on the stores of `api`."""
    return function(api, tmp_path, emulator_url)


@pytest.fixture
def shelf(api: Api) -> Shelf:
    """A job of the tenant that has succeeded, to be given results and artifacts."""
    stores = api.stage.deployment
    return Shelf(api.stage.worker, stores.table, stores.bucket, JobKey(api.tenant, api.finished().id))
