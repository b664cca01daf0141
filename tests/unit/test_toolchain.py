"""The tools that are installed on first use, in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coatcheck_infra.toolchain.cache import ABANDONED_SECONDS, PARTIAL_PREFIX, ToolError, cache_folder, install_once
from coatcheck_infra.toolchain.environments import TOOLS, ToolEnvironment, ensure_installed, failure_of


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"COATCHECK_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, Path("/own")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/coatcheck")),
        ({"XDG_CACHE_HOME": "relative", "COATCHECK_CACHE": ""}, Path.home() / ".cache" / "coatcheck"),
        ({}, Path.home() / ".cache" / "coatcheck"),
    ],
)
def test_the_cache_is_the_users(environ: dict[str, str], folder: Path) -> None:
    assert cache_folder(environ) == folder


def test_two_installations_at_once_both_work(tmp_path: Path) -> None:
    folder = tmp_path / "tool" / "digest"

    def install(into: Path) -> None:
        into.mkdir()
        (into / "one").touch()
        time.sleep(0.05)
        (into / "two").touch()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: install_once(folder, install), range(8)))
    assert [path.name for path in folder.parent.iterdir()] == ["digest"]
    assert sorted(path.name for path in folder.iterdir()) == ["one", "two"]


def test_nothing_is_left_of_an_installation_that_failed(tmp_path: Path) -> None:
    def install(into: Path) -> None:
        into.mkdir()
        raise ToolError("no luck")

    with pytest.raises(ToolError, match="no luck"):
        install_once(tmp_path / "tool" / "digest", install)
    assert not list((tmp_path / "tool").iterdir())


def test_an_installation_that_was_killed_is_removed_later(tmp_path: Path) -> None:
    abandoned, running = (tmp_path / f"{PARTIAL_PREFIX}{name}" for name in ("abandoned", "running"))
    for folder in (abandoned, running):
        folder.mkdir()
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(abandoned, (long_ago, long_ago))
    install_once(tmp_path / "digest", Path.mkdir)
    assert {path.name for path in tmp_path.iterdir()} == {"digest", running.name}


@pytest.fixture
def nothing(tmp_path: Path) -> ToolEnvironment:
    """A tool without packages."""
    lock = tmp_path / "nothing.txt"
    lock.write_text("")
    return ToolEnvironment("nothing", "nothing at all", lock)


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "COATCHECK_CACHE": str(tmp_path / "cache"), **more}


def test_a_tool_is_installed_once_and_runs_where_it_was_renamed_to(tmp_path: Path, nothing: ToolEnvironment) -> None:
    said: list[str] = []
    environ = environment(tmp_path)
    python = ensure_installed(nothing, environ, said.append)
    assert python.is_relative_to(tmp_path / "cache" / "nothing")
    prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert prefix.stdout.strip() == str(nothing.folder(environ))
    assert ensure_installed(nothing, environ, said.append) == python
    assert said == [f"installing nothing at all into {nothing.folder(environ)}, once …"]


def test_another_lock_is_another_installation(tmp_path: Path, nothing: ToolEnvironment) -> None:
    before = nothing.folder(environment(tmp_path))
    nothing.lock.write_text("# another\n")
    assert nothing.folder(environment(tmp_path)) != before


def test_a_tool_whose_python_was_removed_is_installed_again(tmp_path: Path, nothing: ToolEnvironment) -> None:
    environ = environment(tmp_path)
    python = nothing.python(environ)
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "removed")
    assert ensure_installed(nothing, environ, lambda _: None).exists()


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path, nothing: ToolEnvironment) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(ToolError) as failed:
        ensure_installed(nothing, environment(tmp_path), lambda _: None)
    folder = nothing.folder(environment(tmp_path))
    assert str(failed.value) == f"cannot install nothing at all into {folder}: Not a directory"


@pytest.mark.parametrize("name", TOOLS)
def test_without_a_network_one_line_says_so(tmp_path: Path, name: str) -> None:
    environ = environment(tmp_path, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "uv"))
    command = [sys.executable, "-m", "coatcheck_infra.toolchain", name]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    installing, failed = ended.stderr.splitlines()
    assert installing == TOOLS[name].progress_line(environ)
    assert failed.startswith(f"cannot install {TOOLS[name].title}: Because ")
    assert "not found in the cache" in failed


UNREACHABLE = """error: Request failed after 3 retries in 4.0s
  cause: Failed to fetch: https://index.example/simple/attrs/
  cause: client error (Connect)
  cause: Name or service not known
"""


@pytest.mark.parametrize(
    ("messages", "line"),
    [
        (UNREACHABLE, "Failed to fetch: https://index.example/simple/attrs/: Name or service not known"),
        ("error: Hash mismatch\n\nExpected:\n  sha256:1\n", "Hash mismatch"),
        ("/usr/bin/python: No module named uv\n", "/usr/bin/python: No module named uv"),
        ("", "uv said nothing"),
    ],
)
def test_a_failure_is_one_line_with_its_cause(messages: str, line: str) -> None:
    assert failure_of(messages) == line


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_locks_have_hashes_and_no_addresses(tool: ToolEnvironment) -> None:
    lines = tool.lock.read_text().splitlines()
    pins = [line for line in lines if "==" in line]
    assert pins
    assert all(line.endswith("\\") for line in pins)
    assert "://" not in tool.lock.read_text()
