"""What the tests of the sender share."""

from __future__ import annotations

import pytest

from tests.unit.worker.outbound.scripted_receivers import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))
