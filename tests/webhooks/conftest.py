"""The JavaScript side of webhooks: Node, and the public libraries that the Makefile installs for the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = ROOT / ".coatcheck" / "node"


@pytest.fixture(scope="session")
def node() -> str:
    """The node command."""
    found = shutil.which("node")
    assert found, "the tests of webhooks need Node 20 or newer: there is no `node` on PATH"
    return found


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The folder with the node_modules that tests/node asks for."""
    made = LIBRARIES / ".ready"
    locked = ROOT / "tests" / "node" / "package-lock.json"
    fresh = made.exists() and made.stat().st_mtime >= locked.stat().st_mtime
    assert fresh, "the JavaScript libraries are missing or old: run `make test`, or `make .coatcheck/node/.ready`"
    return LIBRARIES
