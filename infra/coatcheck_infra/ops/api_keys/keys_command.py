"""The commands under `coatcheck keys`: what they are asked, and no more."""

from __future__ import annotations

from typing import Annotated

import typer

from coatcheck.core.api_keys import Scope

Stack = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A CloudFormation stack of your AWS account. Default: COATCHECK_TABLE and its like, "
        "else the `coatcheck up` of this folder.",
    ),
]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of a key, as `coatcheck keys list` shows it.")]
Days = Annotated[
    float | None, typer.Option("--expires-in", metavar="DAYS", min=0.01, max=36500, help="Default: it does not expire.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def create(
    tenant: Annotated[
        str | None, typer.Argument(metavar="TENANT", help="Whose jobs the key leads to. Not with --operator.")
    ] = None,
    *,
    operator: Annotated[
        bool, typer.Option("--operator", help="An operator's key: it opens /v1/admin, for all tenants, and no more.")
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="With --operator: it may see, and change nothing.")
    ] = False,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do. Repeatable. Default: all that a tenant can, which is all but admin."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, for whoever lists the keys.")] = "",
    expires_in: Days = None,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """Create a key, and print it: it cannot be shown again."""
    # what this imports takes half a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.ops.api_keys import operations  # noqa: PLC0415

    asked = operations.KeyRequest(tenant, frozenset(scope or ()), name, expires_in, operator, read_only)
    operations.create(stack, asked, as_json=as_json)


def list_keys(
    *,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only this tenant's.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are revoked or have expired.")] = False,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """List the keys: their ids, never the keys themselves."""
    from coatcheck_infra.ops.api_keys import operations  # noqa: PLC0415 - as above

    operations.list_keys(stack, tenant, every=every, as_json=as_json)


def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The ids of the keys.")], *, stack: Stack = None
) -> None:
    """Revoke keys: within a minute, they are refused everywhere. There is no way back."""
    from coatcheck_infra.ops.api_keys import operations  # noqa: PLC0415 - as above

    operations.revoke(stack, ids)


def rotate(
    key_id: KeyId,
    *,
    overlap: Annotated[
        float, typer.Option(metavar="HOURS", min=0, max=8760, help="How long the old key still works.")
    ] = 24,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """Create a key in place of another, and print it: it cannot be shown again."""
    from coatcheck_infra.ops.api_keys import operations  # noqa: PLC0415 - as above

    operations.rotate(stack, key_id, hours=overlap, as_json=as_json)


def import_keys(*, stack: Stack = None) -> None:
    """Copy the keys of the parameter ApiKeys, or of COATCHECK_API_KEYS, into the table. They keep working."""
    from coatcheck_infra.ops.api_keys import operations  # noqa: PLC0415 - as above

    operations.import_keys(stack)


def group() -> typer.Typer:
    """The commands under `coatcheck keys`."""
    made = typer.Typer(help="For owners: the API keys of the tenants.", no_args_is_help=True, rich_markup_mode=None)
    for name, command in (
        ("create", create),
        ("list", list_keys),
        ("rotate", rotate),
        ("revoke", revoke),
        ("import", import_keys),
    ):
        made.command(name)(command)
    return made


keys = group()
