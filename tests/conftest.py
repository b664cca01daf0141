"""How the tests are shared out to the processes of `make test`, and what they can rely on there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

FOLDERS = Path(__file__).parent
TOGETHER = {"journeys": "stacks", "architecture": "stacks"}
"""Folders of which one process takes all: they build the same zips, and share stacks that take their time to start."""

FIRST = ("stacks", "ministack", "moto")
"""The long ones, so that no process is left alone with one at the end."""


def pytest_configure() -> None:
    """Let examples take their time on a busy machine (`bench/` is what measures), and let Ctrl-C be heard."""
    settings.register_profile("patient", settings(), deadline=None)
    settings.load_profile("patient")
    # a shell that starts the tests in the background has SIGINT ignored, by what they start and interrupt as well
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each test into the group that one process takes, and the long groups first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: (*(_group(item) != name for name in FIRST),))


def _group(item: pytest.Item) -> str:
    """Its folder's, its emulator's, or its file's."""
    folder = item.path.relative_to(FOLDERS).parts[0]
    callspec = getattr(item, "callspec", None)
    emulator = callspec.params.get("emulator_url") if callspec else None
    return TOGETHER.get(folder) or emulator or str(item.path)
