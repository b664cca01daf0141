"""Stacks for journeys: each way of running is started once for all tests of a session."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hostile.permissions.roles import decisions
from tests.journeys.results import DOOR
from tests.journeys.up_process import COATCHECK, RunCli, Stack, UpProcess, processes_of

StartUp = Callable[..., UpProcess]


@pytest.fixture
def start_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUp]:
    """Starts `coatcheck up` with further arguments, on a free port and a home of its own where none is given.

    What still runs at the end of the test is killed.
    """
    yield from starts(tmp_path_factory)


@pytest.fixture(scope="session")
def start_shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUp]:
    """The same for stacks that all tests of a session share."""
    yield from starts(tmp_path_factory)


def starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUp]:
    """Yield a function that starts `coatcheck up`; kill what it started afterwards."""
    with ExitStack() as started:

        def start(
            *arguments: str, home: Path | None = None, command: tuple[str, ...] = COATCHECK, cwd: Path | None = None
        ) -> UpProcess:
            place = tmp_path_factory.mktemp("up")
            up = UpProcess(home or place / "home", arguments, place / "up.log", command=command, cwd=cwd)
            started.callback(up.kill)
            return up

        yield start


@pytest.fixture(scope="session")
def stack(start_shared_up: StartUp) -> Iterator[Stack]:
    """A stack as `coatcheck up` makes it."""
    yield from running(start_shared_up())


@pytest.fixture(scope="session")
def full_stack(start_shared_up: StartUp) -> Iterator[Stack]:
    """A stack as `coatcheck up --whole` makes it: through a front door, API Gateway, to Lambda functions."""
    yield from running(start_shared_up("--whole", "--front-door", DOOR))


@pytest.fixture(params=["stack", "full_stack"], ids=["up", "whole"])
def front_door(request: pytest.FixtureRequest) -> Stack:
    """Both ways of running, one after the other: what holds in one must hold in the other."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Stack)
    return found


@pytest.fixture
def environ(stack: Stack) -> dict[str, str]:
    """A shell that knows of the stack by its folder alone."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}
    return {**plain, "COATCHECK_HOME": str(stack.home)}


@pytest.fixture
def run_cli(environ: dict[str, str], tmp_path: Path) -> RunCli:
    """A command line in that shell."""

    def run_cli(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COATCHECK, *argv], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )

    return run_cli


def running(up: UpProcess) -> Iterator[Stack]:
    """The stack of `up` while it lasts. It ends as it should, whatever the tests did to it.

    No function was denied anything: where the code goes on without, nothing else would show a missing permission.
    """
    yield up.ready()
    assert up.stop() == 0, up.output()
    assert not processes_of(up.home)
    assert decisions(up.home / "logs" / "ministack.log")["denies"] == []
