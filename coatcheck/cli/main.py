"""The `coatcheck` command: the commands of this package and those that other packages add."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

from coatcheck.cli import admin_commands, exit_codes, job_commands, stdio, webhook_commands
from coatcheck.cli.command_group import CommandGroup
from coatcheck.cli.display import print_message
from coatcheck.cli.init_command import init
from coatcheck.cli.listen import listen
from coatcheck.client.exceptions import CoatcheckError, InvalidArgumentError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PLUGINS = "coatcheck.commands"

EXTRAS = dict.fromkeys(
    ("up", "check", "test", "build", "deploy", "destroy", "dlq", "keys", "trust", "limits", "logs"), "local"
)
"""The extra that brings a command of another package."""

COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("init", init),
    ("submit", job_commands.submit),
    ("run", job_commands.run),
    ("status", job_commands.status),
    ("result", job_commands.result),
    ("cancel", job_commands.cancel),
    ("list", job_commands.list_jobs),
    ("types", job_commands.types),
    ("events", job_commands.events),
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

ADMIN: tuple[tuple[str, Callable[..., None]], ...] = (
    ("tenants", admin_commands.tenants),
    ("jobs", admin_commands.jobs),
    ("show", admin_commands.show),
    ("cancel", admin_commands.cancel),
    ("queues", admin_commands.queues),
    ("dead-letters", admin_commands.dead_letters),
    ("redrive", admin_commands.redrive),
    ("discard", admin_commands.discard),
)

GROUPS: dict[str, tuple[str, tuple[tuple[str, Callable[..., None]], ...]]] = {
    "webhooks": ("Have your own server called when a job changes.", WEBHOOKS),
    "admin": ("For operators: see the jobs and queues of all tenants, by a key of their own.", ADMIN),
}


def make_app(plugins: Iterable[EntryPoint] = ()) -> typer.Typer:
    """The command line with its own commands and those of `plugins`, each a function or a group of commands.

    A plugin that cannot be loaded is reported and left out.
    """
    app = typer.Typer(
        name="coatcheck",
        cls=CommandGroup,
        help="Write job types, run and deploy them, submit jobs and fetch their results.",
        epilog=_epilog(),
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, command in COMMANDS:
        app.command(name)(command)
    for name, (summary, group) in GROUPS.items():
        group_app = typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode=None)
        for subcommand, command in group:
            group_app.command(subcommand)(command)
        app.add_typer(group_app, name=name)
    for plugin in plugins:
        try:
            _add_plugin(app, plugin.name, plugin.load())
        except Exception as error:  # noqa: BLE001 - someone else's code must not take the other commands away
            print_message(f"coatcheck: the command {plugin.name!r} cannot be loaded and is left out: {error}")
    return app


def _add_plugin(app: typer.Typer, name: str, plugin: Callable[..., None] | typer.Typer) -> None:
    if isinstance(plugin, typer.Typer):
        # one command of the plugin's name is that command, with settings of its own, and no group
        is_command = [command.name for command in plugin.registered_commands] == [name]
        app.add_typer(plugin, name=None if is_command else name)
    else:
        app.command(name)(plugin)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends in SystemExit with a code of `coatcheck.cli.exit_codes`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with stdio.guarded_streams():
        try:
            _run(arguments)
        except CoatcheckError as error:
            code = exit_codes.exit_code(error)
            print_message(f"coatcheck: {error}")
        except UnicodeError:
            code = exit_codes.USAGE
            print_message("coatcheck: the arguments are not UTF-8")
        except OSError as error:
            code = exit_codes.USAGE
            print_message(f"coatcheck: {_file_name(error.filename)}: {error.strerror or error}")
        except RecursionError:
            code = exit_codes.SERVER_ERROR
            print_message("coatcheck: the answer of the server is nested too deeply to be shown")
        except KeyboardInterrupt:
            code = exit_codes.INTERRUPTED
        sys.exit(code)


def _run(argv: Sequence[str]) -> NoReturn:
    try:
        make_app(_find_plugins(argv))(args=argv, prog_name="coatcheck")
    finally:
        # flush here, where its errors are still reported
        sys.stdout.flush()
    raise AssertionError("typer ends in SystemExit")


def _file_name(file: str | bytes | int | None) -> str:
    return os.fsdecode(file) if isinstance(file, str | bytes) else "input or output"


def _find_plugins(argv: Sequence[str]) -> list[EntryPoint]:
    requested = argv[0] if argv and not argv[0].startswith("-") else None
    if requested in {*dict(COMMANDS), *GROUPS}:
        return []
    # looking for plugins reads the metadata of every installed package: not for a command that is known
    from importlib.metadata import entry_points  # noqa: PLC0415

    found = [plugin for plugin in entry_points(group=PLUGINS) if requested in {None, plugin.name}]
    if requested in EXTRAS and not found:
        extra = EXTRAS[requested]
        raise InvalidArgumentError(f"`coatcheck {requested}` is not installed: pip install 'coatcheck[{extra}]'")
    return found


def _epilog() -> str:
    # \b keeps the lines of the paragraph that follows it as they are
    return "\b\nExit codes:\n" + "\n".join(
        f"  {code:>3}  {meaning}" for code, meaning in exit_codes.DESCRIPTIONS.items()
    )
