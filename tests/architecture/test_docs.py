"""What the documentation names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.repository import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("bench", "coatcheck", "docs", "example", "infra", "requirements", "service", "tests", "worker")
MADE_LATER = {"infra/samconfig.toml"}
"""What the reader, or a command, makes."""


def named() -> Iterator[tuple[str, str]]:
    """Every path of the repository, and every make target, that a page names in backticks, with the page."""
    for page in PAGES:
        for quoted in re.findall(r"`([^`\n]+)`", page.read_text()):
            if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]*", quoted) or re.match(r"make [a-z]+", quoted):
                yield page.name, quoted


@pytest.mark.parametrize(("page", "quoted"), sorted(set(named())))
def test_what_a_page_names_is_there(page: str, quoted: str) -> None:
    if quoted.startswith("make "):
        assert re.search(rf"^{quoted.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), page
    else:
        assert quoted in MADE_LATER or (ROOT / quoted).exists(), page


def test_the_index_of_decisions_names_each_by_its_title() -> None:
    folder = ROOT / "docs" / "adr"
    titles = {(path.name, path.read_text().splitlines()[0].split(". ", 1)[1]) for path in folder.glob("[0-9]*.md")}
    index = re.findall(r"^\| \[\d+\]\(([\w.-]+)\) \| (.+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert len(index) == len(titles)
    assert set(index) == titles
