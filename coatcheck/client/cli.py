"""The `coatcheck` command: the commands of this package and those that other packages add."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

from coatcheck.client import commands, exits, streams, webhook_commands
from coatcheck.client.display import say
from coatcheck.client.errors import CoatcheckError
from coatcheck.client.listen import listen

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PLUGINS = "coatcheck.commands"

COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("submit", commands.submit),
    ("status", commands.status),
    ("result", commands.result),
    ("cancel", commands.cancel),
    ("list", commands.list_jobs),
    ("types", commands.types),
    ("events", commands.events),
)


WEBHOOKS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("create", webhook_commands.create),
    ("list", webhook_commands.list_endpoints),
    ("show", webhook_commands.show),
    ("update", webhook_commands.update),
    ("delete", webhook_commands.delete),
    ("rotate-secret", webhook_commands.rotate_secret),
    ("test", webhook_commands.send_test),
    ("deliveries", webhook_commands.deliveries),
    ("resend", webhook_commands.resend),
    ("listen", listen),
)

GROUPS = {"webhooks": ("Have your own server called when something has happened to a job.", WEBHOOKS)}


def make_app(plugins: Iterable[EntryPoint] = ()) -> typer.Typer:
    """The command line with its own commands and those of `plugins`, each a function or a group of commands.

    One that cannot be loaded is told and left out.
    """
    app = typer.Typer(
        name="coatcheck",
        help="Hand in jobs, look at them, collect their results.",
        epilog=_epilog(),
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, command in COMMANDS:
        app.command(name)(command)
    for name, (about, group) in GROUPS.items():
        below = typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)
        for subcommand, command in group:
            below.command(subcommand)(command)
        app.add_typer(below, name=name)
    for plugin in plugins:
        try:
            _add(app, plugin.name, plugin.load())
        except Exception as error:  # noqa: BLE001 - someone else's code must not take the other commands away
            say(f"coatcheck: the command {plugin.name!r} is left out, it cannot be loaded: {error}")
    return app


def _add(app: typer.Typer, name: str, plugin: Callable[..., None] | typer.Typer) -> None:
    if isinstance(plugin, typer.Typer):
        app.add_typer(plugin, name=name)
    else:
        app.command(name)(plugin)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends in SystemExit with a code of `coatcheck.client.exits`."""
    given = list(sys.argv[1:] if argv is None else argv)
    with streams.standard():
        try:
            _run(given)
        except CoatcheckError as error:
            code = exits.exit_code(error)
            say(f"coatcheck: {error}")
        except UnicodeError:
            code = exits.USAGE
            say("coatcheck: the arguments are not UTF-8")
        except OSError as error:
            code = exits.USAGE
            say(f"coatcheck: {_name(error.filename)}: {error.strerror or error}")
        except RecursionError:
            code = exits.BROKEN
            say("coatcheck: the server's answer is nested too deeply to be shown")
        except KeyboardInterrupt:
            code = exits.INTERRUPTED
        sys.exit(code)


def _run(argv: Sequence[str]) -> NoReturn:
    try:
        make_app(_wanted_plugins(argv))(args=argv, prog_name="coatcheck")
    finally:
        # here, where what it raises is still told
        sys.stdout.flush()
    raise AssertionError("typer ends in SystemExit")


def _name(file: str | bytes | int | None) -> str:
    return os.fsdecode(file) if isinstance(file, str | bytes) else "input or output"


def _wanted_plugins(argv: Sequence[str]) -> list[EntryPoint]:
    asked = argv[0] if argv and not argv[0].startswith("-") else None
    if asked in {*dict(COMMANDS), *GROUPS}:
        return []
    # looking for plugins reads the metadata of every installed package: not for a command that is known
    from importlib.metadata import entry_points  # noqa: PLC0415

    return [plugin for plugin in entry_points(group=PLUGINS) if asked in {None, plugin.name}]


def _epilog() -> str:
    # \b keeps the lines of the paragraph that follows it as they are
    return "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exits.MEANING.items())
