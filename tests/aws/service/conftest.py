"""The service on the stores of both emulators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.settings import Settings
from tests.aws.service.lambda_process import InvokeFunction, lambda_process
from tests.aws.service.running_service import Api, RunningService, clients_of, run_service
from tests.finished_job import FinishedJob


@pytest.fixture(scope="session")
def running_service(emulator_url: str, settings: Settings, aws: Transport) -> Iterator[RunningService]:
    """The service, on the template's stores."""
    with run_service(settings, aws, emulator_url) as running:
        yield running


@pytest.fixture
def api(running_service: RunningService) -> Iterator[Api]:
    """The service as a tenant of this test's own sees it."""
    with clients_of(running_service) as clients:
        yield clients


@pytest.fixture
def invoke(api: Api, tmp_path: Path, emulator_url: str) -> InvokeFunction:
    """A Lambda function on the stores of `api`."""
    return lambda_process(api, tmp_path, emulator_url)


@pytest.fixture
def finished_job(api: Api) -> FinishedJob:
    """A job of the tenant that has succeeded, to be given results and artifacts."""
    stores = api.running_service.settings
    return FinishedJob(api.running_service.worker, stores.table, stores.bucket, JobKey(api.tenant, api.finished().id))
