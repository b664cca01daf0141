"""The commands `coatcheck deploy` and `coatcheck destroy`: what they are asked, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Stack = Annotated[
    str | None, typer.Option(metavar="NAME", help="The stack's name. Default: stack in [tool.coatcheck.deploy].")
]
Region = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Its AWS region. Default: region in [tool.coatcheck.deploy], else the shell's."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def deploy(
    *,
    stack: Stack = None,
    region: Region = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the template to change. Repeatable."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Build the project and deploy it to AWS. Shows what changes, and asks."""
    # what this imports takes a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.ops.deploy import deploy_project  # noqa: PLC0415

    _run("deploy", lambda: deploy_project.deploy_project(Path(), stack, region, values or [], confirmed=yes))


def destroy(
    *,
    stack: Stack = None,
    region: Region = None,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the table, the bucket and the key of the webhooks.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete the project's stack on AWS. Shows what goes, and asks."""
    from coatcheck_infra.ops.deploy import destroy_project  # noqa: PLC0415 - as above

    _run("destroy", lambda: destroy_project.destroy_project(Path(), stack, region, keep_data=keep_data, confirmed=yes))


def _run(name: str, command: Callable[[], int]) -> None:
    """Run a command. Prints one line on what went wrong."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from coatcheck_infra.ops.deploy.plan import DeployRefused  # noqa: PLC0415
    from coatcheck_infra.project.config import ProjectError  # noqa: PLC0415
    from coatcheck_infra.toolchain.cache import ToolError  # noqa: PLC0415

    try:
        code = command()
    except (DeployRefused, ProjectError, ToolError) as error:
        problem = str(error)
    except ClientError as error:
        problem = f"{error.operation_name}: {error}"
    except BotoCoreError as error:
        problem = f"{error}. Set AWS_PROFILE to a profile that may {name}"
    else:
        raise typer.Exit(code)
    print(f"coatcheck {name}: {' '.join(problem.split())}", file=sys.stderr)
    raise typer.Exit(1)
