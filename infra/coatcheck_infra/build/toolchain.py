"""Runs the programs of a build, and reports their failures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TOOLS_DIR = Path(__file__).resolve().parents[3] / ".coatcheck"


class BuildError(Exception):
    """The build failed. The message is for whoever started it."""


def run(command: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run the command and return its output. Raises BuildError, with its messages, if it fails or is not installed."""
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
    """Run the uv of this environment. Python versions that it installs stay inside the project."""
    return run(
        [sys.executable, "-m", "uv", *arguments], env={"UV_PYTHON_INSTALL_DIR": str(TOOLS_DIR / "python"), **env}
    )
