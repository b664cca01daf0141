"""The wheels of this repository, as an index would have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = {
    "coatcheck": ROOT,
    "coatcheck-service": ROOT / "service",
    "coatcheck-worker": ROOT / "worker",
    "coatcheck-infra": ROOT / "infra",
}


def uv(*arguments: object) -> str:
    """What uv prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "uv", *map(str, arguments)], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each distribution."""
    out = tmp_path_factory.mktemp("wheels")
    for folder in PROJECTS.values():
        uv("build", "--wheel", "--no-build-isolation", "--quiet", "--out-dir", out, folder)
    return {name: next(out.glob(f"{name.replace('-', '_')}-*.whl")) for name in PROJECTS}
