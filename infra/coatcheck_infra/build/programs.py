"""Runs the programs of a build, and reports their failures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from coatcheck_infra.toolchain.cache import cache_folder


class BuildError(Exception):
    """The build failed. The message is for whoever started it."""


class CommandError(BuildError):
    """A program failed. `said` is what it wrote."""

    def __init__(self, command: list[str], said: str) -> None:
        super().__init__(f"{' '.join(command[:5])} … failed: {said}")
        self.said = said

    @property
    def reason(self) -> str:
        """Why uv failed, in one line and without its hints."""
        said = self.said.partition("\nhint:")[0].partition("cause:")
        return " ".join((said[2] or said[0]).split()).removeprefix("error: ").rstrip(".")


def run(command: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run the command and return its output. Raises BuildError, with its messages, if it fails or is not installed."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, cwd=cwd, check=True, capture_output=True, text=True
        )
    except FileNotFoundError as missing:
        raise BuildError(f"{command[0]} is not on PATH: install it") from missing
    except subprocess.CalledProcessError as failed:
        raise CommandError(command, (failed.stderr or failed.stdout).strip()) from failed
    return done.stdout


def uv(*arguments: str, cwd: Path | None = None, **env: str) -> str:
    """Run the uv of this environment. Python versions that it installs are kept in the user's cache."""
    return run(
        [sys.executable, "-m", "uv", *arguments],
        env={"UV_PYTHON_INSTALL_DIR": str(cache_folder(os.environ) / "python"), **env},
        cwd=cwd,
    )
