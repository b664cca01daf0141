"""The programs that a build starts, and how it says that one failed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TOOLS_DIR = Path(__file__).resolve().parents[3] / ".coatcheck"


class BuildError(Exception):
    """What kept the build from its goal, in words for whoever started it."""


def run(command: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command prints. Raises BuildError, with what it said, where it fails or is not there."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, cwd=cwd, check=True, capture_output=True, text=True
        )
    except FileNotFoundError as missing:
        raise BuildError(f"{command[0]} is not on PATH: install it") from missing
    except subprocess.CalledProcessError as failed:
        said = (failed.stderr or failed.stdout).strip()
        raise BuildError(f"{' '.join(command[:5])} … failed: {said}") from failed
    return done.stdout


def uv(*arguments: str, **env: str) -> str:
    """Run the uv of this environment; what it installs of Python stays inside the project."""
    return run(
        [sys.executable, "-m", "uv", *arguments], env={"UV_PYTHON_INSTALL_DIR": str(TOOLS_DIR / "python"), **env}
    )
