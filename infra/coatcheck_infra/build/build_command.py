"""The command `coatcheck build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(
    *,
    lock: Annotated[
        bool, typer.Option("--lock", help="Only bring requirements.lock up to date with pyproject.toml.")
    ] = False,
) -> None:
    """Build the zips and the template that are deployed, in build/."""
    # what this imports takes a while, which `coatcheck --help` need not wait for
    from coatcheck_infra.build import project_build  # noqa: PLC0415

    raise typer.Exit(project_build.make_lock(Path()) if lock else project_build.build(Path()))
