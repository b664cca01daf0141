"""How `coatcheck --help` lists its commands: by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperGroup

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Your project": ("init", "check", "test", "up", "build", "deploy", "destroy"),
    "Jobs": ("run", "submit", "status", "result", "cancel", "list", "types", "events", "webhooks"),
    "Operation": ("admin", "logs", "keys", "trust", "limits", "dlq"),
}
"""The commands in the order in which they are shown. Commands of other packages follow under `OTHER`."""

OTHER = "Other commands"


class CommandGroup(TyperGroup):
    """Shows the commands of the command line in sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class names it
        """Write a section of the help for each of `SECTIONS`."""
        listed = [name for names in SECTIONS.values() for name in names]
        other = tuple(name for name in self.commands if name not in listed)
        limit = formatter.width - 6 - max(map(len, self.commands))
        for title, names in (*SECTIONS.items(), (OTHER, other)):
            present = [(name, self.commands[name]) for name in names if name in self.commands]
            if present:
                with formatter.section(title):
                    formatter.write_dl([(name, command.get_short_help_str(limit)) for name, command in present])
