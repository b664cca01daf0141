from __future__ import annotations

from pathlib import Path

import pytest

from coatcheck import LocalContext, confined
from coatcheck.confined import Protection


@pytest.fixture
def ctx(tmp_path: Path) -> LocalContext:
    workdir = tmp_path / "attempt"
    workdir.mkdir()
    return LocalContext(workdir)


@pytest.fixture(scope="session")
def in_force() -> frozenset[Protection]:
    return confined.protections()
