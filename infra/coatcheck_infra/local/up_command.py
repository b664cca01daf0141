"""The command `coatcheck up`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from coatcheck_infra.local.up_error import UpError, user_message


def up(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the API listens; 0 for any free port.")] = 8000,
    home: Annotated[
        Path | None,
        typer.Option(
            envvar="COATCHECK_HOME", help="Folder of its lock, keys and logs. Default: .coatcheck of the project."
        ),
    ] = None,
    full_stack: Annotated[
        bool, typer.Option("--whole", help="Deploy the whole template: the front door and Lambda functions.")
    ] = False,
    front_door: Annotated[
        Literal["rest", "function-url", "alb"] | None,
        typer.Option(help="The front door of --whole. Default: the project's, or the first of its two."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Jobs that run at the same time.")] = 2,
    reload: Annotated[bool, typer.Option(help="Restart parts when their code changes.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard the jobs and files kept from before.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every line of the AWS emulator.")] = False,
) -> None:
    """Run the project on this machine.

    Starts an AWS emulator, the API, a worker, the webhook deliverer and the sweeper. Ctrl-C stops them.
    """
    # what these import takes half a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.local.launch import LaunchOptions, launch  # noqa: PLC0415
    from coatcheck_infra.local.terminal import Terminal  # noqa: PLC0415
    from coatcheck_infra.project.config import ProjectError, find_project  # noqa: PLC0415

    try:
        project = find_project(Path.cwd())
    except ProjectError as error:
        print(f"coatcheck up: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if front_door and not full_stack:
        print("coatcheck up: --front-door needs --whole: without it there is no front door", file=sys.stderr)
        raise typer.Exit(1)
    home = home or project.home
    options = LaunchOptions(
        port=port,
        home=home,
        project=project,
        full_stack=full_stack,
        workers=workers,
        reload=reload,
        fresh=fresh,
        verbose=verbose,
        front_door=front_door,
    )
    failed: BaseException | None = None
    try:
        asyncio.run(launch(options, os.environ, Terminal()))
    except* (UpError, OSError) as failures:
        failed = failures
    if failed:
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
        print(f"coatcheck up: {user_message(failed)}", file=sys.stderr)
        raise typer.Exit(1)
