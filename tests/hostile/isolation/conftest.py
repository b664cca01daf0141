"""The isolation matrix, asked for once: a service on one emulator, a victim, and a tenant who would like to be it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.isolation.campaign import Campaign, run_campaign


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Everything that was asked and answered."""
    with run_campaign(tmp_path_factory.mktemp("ministack")) as done:
        yield done
