"""The command `coatcheck logs`: what it is asked, and no more."""

from __future__ import annotations

from typing import Annotated

import typer

from coatcheck.cli.options import JobId


def logs(
    job_id: JobId,
    *,
    stack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A CloudFormation stack of your AWS account. Default: the `coatcheck up` of this folder.",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3653, help="How many days back to look, on AWS.")] = 7,
    limit: Annotated[int, typer.Option(min=1, help="Lines that are shown at most, the first.")] = 1000,
    as_json: Annotated[
        bool, typer.Option("--json", help="The lines of --stack as they are: one JSON object each.")
    ] = False,
) -> None:
    """Show what all components have logged of a job: the API, each attempt, its handler, its webhooks."""
    # what this imports takes half a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.ops.logs import operations  # noqa: PLC0415

    operations.show(job_id, stack, days=days, limit=limit, as_json=as_json)
