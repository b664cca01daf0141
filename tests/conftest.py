"""How the tests are shared out to the processes of `make test`, and what they can rely on there."""

from __future__ import annotations

import re
import signal
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import pytest
from hypothesis import settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TOGETHER = {"journeys": "stacks", "architecture": "stacks"}
"""Folders of which one process takes all: they build the same zips, and share stacks that take their time to start."""

EMULATOR = re.compile(r"[\[-](ministack|moto)[\]-]")
"""The emulator in the name of a test that runs on both."""

ON_EITHER = ("tests/aws/dead_letters/", "tests/aws/service/", "tests/aws/worker/")
"""What is built on the calls to AWS, each of which is tried on both emulators."""

FIRST = ("stacks", "ministack", "moto")
"""The long ones, so that no process is left alone with one at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make emulators` runs on both emulators what else runs on either."""
    parser.addoption("--both-emulators", action="store_true", help="run all tests that two emulators can serve on both")


def pytest_configure(config: pytest.Config) -> None:
    """Let examples take their time on a busy machine (`bench/` is what measures), and let Ctrl-C be heard.

    `--hypothesis-profile long` tries a hundred times as many.
    """
    settings.register_profile("patient", settings(), deadline=None)
    settings.register_profile("long", settings(), deadline=None, max_examples=10_000)
    settings.load_profile(config.getoption("--hypothesis-profile") or "patient")
    # a shell that starts the tests in the background has SIGINT ignored, by what they start and interrupt as well
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what is built on calls to AWS on one of the emulators, half of it on each. Put the long groups first."""
    if not config.getoption("--both-emulators"):
        left_out = _turn_of_the_other_emulator(items)
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: (*(_group(item.nodeid) != name for name in FIRST),))


def _turn_of_the_other_emulator(items: Sequence[pytest.Item]) -> Collection[pytest.Item]:
    """Which tests are left to the other of the two emulators that they could run on."""
    tests: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        emulator = EMULATOR.search(item.nodeid)
        if emulator and item.nodeid.startswith(ON_EITHER):
            tests[EMULATOR.sub("", item.nodeid)][emulator[1]] = item
    return {on[("ministack", "moto")[zlib.crc32(name.encode()) % 2]] for name, on in tests.items() if len(on) > 1}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Name what failed once more at the very end, where whoever has only the last lines of a log finds it."""
    yield
    for outcome in ("failed", "error"):
        for report in terminalreporter.getreports(outcome):
            terminalreporter.write_line(f"{outcome}: {report.nodeid}")


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each group of tests to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Share out the tests by group. The groups of `--dist loadgroup` have no effect with pytest 9.2."""
    return GroupScheduling(config, log)


def _group(nodeid: str) -> str:
    """Its folder's, its emulator's, or its file's."""
    path = nodeid.partition("::")[0]
    emulator = EMULATOR.search(nodeid)
    return TOGETHER.get(path.split("/")[1]) or (emulator[1] if emulator else path)
