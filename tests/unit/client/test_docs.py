"""docs/cli.md says what the command line does. After a change, run this file with python to write the page anew."""

from __future__ import annotations

import contextlib
import io
import os
import re
from importlib.metadata import entry_points
from pathlib import Path

from coatcheck.cli import exit_codes
from coatcheck.cli.command_group import SECTIONS
from coatcheck.cli.main import COMMANDS, GROUPS, PLUGINS, make_app

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def help_of(*command: str) -> str:
    shown = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            make_app(entry_points(group=PLUGINS))(args=[*command, "--help"], prog_name="coatcheck")
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return shown.getvalue().rstrip()


def commands() -> list[tuple[str, ...]]:
    """Every command with its group, if it is in one, and each group before its commands."""
    grouped = [(group, *below) for group, (_, own) in GROUPS.items() for below in [(), *((name,) for name, _ in own)]]
    plugins = [(name,) for name in SECTIONS["Your project"] if name not in dict(COMMANDS)]
    keys = [("keys",), *(("keys", name) for name in ("create", "list", "rotate", "revoke", "import"))]
    trust = [("trust",), ("trust", "show"), ("trust", "set")]
    limits = [("limits",), *(("limits", name) for name in ("show", "set", "clear"))]
    return [*((name,) for name, _ in COMMANDS), *plugins, *grouped, *keys, *trust, *limits, ("dlq",)]


def written_anew(page: str) -> str:
    """The page with its exit codes and help texts as they are now."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in exit_codes.DESCRIPTIONS.items())
    page = re.sub(r"(?<=\| code \| meaning \|\n\|---\|---\|\n)(\| .*\n)*", lambda _: codes, page)
    texts = [
        f"```text\n$ {' '.join(('coatcheck', *command))} --help\n{help_of(*command)}\n```\n"
        for command in [(), *commands()]
    ]
    head, title, _ = page.partition("## Every command\n")
    return head + title + "\n" + "\n".join(texts)


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written_anew(page), f"write it anew: python {Path(__file__).relative_to(PAGE.parents[1])}"


def test_every_command_has_its_place_in_the_help() -> None:
    plugins = {plugin.name for plugin in entry_points(group=PLUGINS)}
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted({*dict(COMMANDS), *GROUPS, *plugins})


def test_every_command_and_exit_code_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for command in commands():
        assert f"Usage: coatcheck {' '.join(command)} " in page
    for code in exit_codes.DESCRIPTIONS:
        assert f"\n| {code} | " in page


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
