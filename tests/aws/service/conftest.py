"""The service on the stores of both emulators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coatcheck.deployment import Deployment
from tests.aws.service.stage import Api, Stage, staged, visited
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
