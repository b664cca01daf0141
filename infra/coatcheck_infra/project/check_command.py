"""The command `coatcheck check`."""

from __future__ import annotations

import sys
from subprocess import run

import typer


def check() -> None:
    """Check the project: its settings, job types and handlers."""
    # its modules are imported, which is not done in this process: they may do anything
    done = run([sys.executable, "-m", "coatcheck_infra.project.check", "--local", "--deployment"], check=False)
    raise typer.Exit(done.returncode)
