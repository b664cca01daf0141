"""The commands under `coatcheck limits`: what they are asked, and no more."""

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
Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose limits.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def show(
    tenant: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", help="Whose limits. Default: all tenants that have any.")
    ] = None,
    *,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """Show the limits of a tenant, or of all that have any."""
    # what this imports takes half a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.ops.limits import operations  # noqa: PLC0415

    operations.show(stack, tenant, as_json=as_json)


def set_limits(
    tenant: Tenant,
    limits: Annotated[
        list[str],
        typer.Argument(
            metavar="LIMIT=VALUE...", help="As submit_rate=5 or jobs_running_by_type.report.render=2; docs/limits.md."
        ),
    ],
    *,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """Set limits of a tenant; the others stay. They hold everywhere within half a minute."""
    from coatcheck_infra.ops.limits import operations  # noqa: PLC0415 - as above

    operations.set_limits(stack, tenant, limits, as_json=as_json)


def clear(
    tenant: Tenant,
    limits: Annotated[
        list[str] | None, typer.Argument(metavar="[LIMIT...]", help="Which limits. Default: all of them.")
    ] = None,
    *,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """Remove limits of a tenant: the deployment's defaults hold again."""
    from coatcheck_infra.ops.limits import operations  # noqa: PLC0415 - as above

    operations.clear(stack, tenant, limits or (), as_json=as_json)


def group() -> typer.Typer:
    """The commands under `coatcheck limits`."""
    made = typer.Typer(help="For owners: the limits of the tenants.", no_args_is_help=True, rich_markup_mode=None)
    for name, command in (("show", show), ("set", set_limits), ("clear", clear)):
        made.command(name)(command)
    return made


limits = group()
