"""The command `coatcheck test`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from subprocess import run

import typer

from coatcheck_infra.project.config import ProjectError, find_project

command = typer.Typer()


@command.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Check the project, then run its tests. Takes the arguments and options of pytest."""
    try:
        project = find_project(Path())
    except ProjectError as error:
        print(f"coatcheck test: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    if find_spec("pytest") is None:
        print(
            "coatcheck test: pytest is not installed: uv sync, or: pip install --group dev",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    checked = run([sys.executable, "-m", "coatcheck_infra.project.check", "--local"], check=False)
    if checked.returncode:
        raise typer.Exit(checked.returncode)
    tested = run([sys.executable, "-m", "pytest", *context.args], check=False, cwd=project.root)
    raise typer.Exit(tested.returncode if tested.returncode >= 0 else 128 - tested.returncode)
