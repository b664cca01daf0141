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
    image: Annotated[
        bool, typer.Option("--image", help="Write what container images are built from, in build/image.")
    ] = False,
) -> None:
    """Build the zips and the template that are deployed, in build/."""
    # what this imports takes a while, which `coatcheck --help` need not wait for
    from coatcheck_infra.build import project_build  # noqa: PLC0415

    if lock and image:
        raise typer.BadParameter("--lock and --image are two commands: give one")
    made = project_build.make_lock if lock else project_build.build_images if image else project_build.build
    raise typer.Exit(made(Path()))
