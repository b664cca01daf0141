"""The commands under `coatcheck trust`: what they are asked, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coatcheck_infra.ops.api_keys.keys_command import Stack

File = Annotated[Path, typer.Argument(metavar="FILE", help="The policy in JSON: see docs/authentication.md.")]


def show(*, stack: Stack = None) -> None:
    """Print the trust policy, in JSON."""
    # what this imports takes half a second, which `coatcheck --help` need not wait for
    from coatcheck_infra.ops.trust import operations  # noqa: PLC0415

    operations.show(stack)


def replace(file: File, *, stack: Stack = None) -> None:
    """Replace the trust policy by that of a file. An empty one, {}, trusts nobody but the keys."""
    from coatcheck_infra.ops.trust import operations  # noqa: PLC0415 - as above

    operations.replace(stack, file)


def group() -> typer.Typer:
    """The commands under `coatcheck trust`."""
    made = typer.Typer(
        help="For owners: issuers of tokens, and callers inside AWS.", no_args_is_help=True, rich_markup_mode=None
    )
    made.command("show")(show)
    made.command("set")(replace)
    return made


trust = group()
