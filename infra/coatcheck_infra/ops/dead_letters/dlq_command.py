"""The commands `coatcheck dlq list` and `coatcheck dlq redrive`: what they are asked, and no more."""

from __future__ import annotations

from typing import Annotated

import typer

Stack = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A CloudFormation stack of your AWS account. Default: COATCHECK_TABLE and its like, "
        "else the `coatcheck up` of this folder.",
    ),
]
Lane = Annotated[str | None, typer.Option(metavar="LANE", help="Only this lane. Default: all.")]


def list_dead_letters(
    *,
    lane: Lane = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    stack: Stack = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object a line, with the first 200 characters of what cannot be read."),
    ] = False,
) -> None:
    """List dead letters, with the present state of their jobs and deliveries."""
    # what this imports takes half a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.ops.dead_letters import operations  # noqa: PLC0415

    operations.list_dead_letters(stack, lane, limit=limit, as_json=as_json)


def redrive(
    *,
    lane: Lane = None,
    job: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only messages of this job. Repeatable.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="How many a second are sent back, at most.")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="How many are sent back or deleted, at most.")] = None,
    drop_unreadable: Annotated[
        bool, typer.Option("--drop-unreadable", help="Delete what cannot be read or whose row is not there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")] = False,
    stack: Stack = None,
) -> None:
    """Wake the jobs and deliveries of dead letters again; delete those of finished ones."""
    from coatcheck_infra.ops.dead_letters import operations  # noqa: PLC0415 - as above
    from coatcheck_infra.ops.dead_letters.redrive import RedriveOptions  # noqa: PLC0415

    options = RedriveOptions(
        rate=rate, limit=limit, jobs=frozenset(job or ()), drop_unreadable=drop_unreadable, dry_run=dry_run
    )
    operations.redrive(stack, lane, options)


def group() -> typer.Typer:
    """The commands under `coatcheck dlq`."""
    made = typer.Typer(
        help="For owners: the messages in the dead-letter queues.", no_args_is_help=True, rich_markup_mode=None
    )
    made.command("list")(list_dead_letters)
    made.command("redrive")(redrive)
    return made


dlq = group()
