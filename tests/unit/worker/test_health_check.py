"""A worker is healthy while all of its processes run, and a container service can tell."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coatcheck_worker import __main__ as keeper
from coatcheck_worker.__main__ import ChildProcess, ProcessKeeper
from coatcheck_worker.health_check import report_healthy
from tests.waiting import eventually


def check(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coatcheck_worker.health_check", str(file), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_what_was_touched_lately_is_well(tmp_path: Path) -> None:
    report_healthy(tmp_path / "file")
    assert check(tmp_path / "file").returncode == 0


def test_what_was_touched_long_ago_is_not(tmp_path: Path) -> None:
    report_healthy(tmp_path / "file")
    long_ago = time.time() - 200
    os.utime(tmp_path / "file", (long_ago, long_ago))
    done = check(tmp_path / "file")
    assert done.returncode == 1
    assert done.stderr.startswith("not well for 2")
    assert check(tmp_path / "file", "--within", "86400").returncode == 0


def test_what_was_never_touched_is_not(tmp_path: Path) -> None:
    done = check(tmp_path / "file")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_report_that_cannot_be_made_ends_nothing(tmp_path: Path) -> None:
    report_healthy(tmp_path / "no such folder" / "file")
    report_healthy(None)


@pytest.mark.parametrize("program", ["import time; time.sleep(600)", "raise SystemExit(1)"], ids=["runs", "ends"])
def test_a_process_that_starts_again_and_again_is_not_well(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # how long a process has to run until it counts; this one takes less to end, on a busy machine too
    monkeypatch.setattr(keeper, "MIN_UPTIME", 2.0)
    monkeypatch.setattr(keeper, "RESTART_DELAY", 0.0)
    file, runs = tmp_path / "file", "sleep" in program
    children = [ChildProcess("default", [sys.executable, "-c", program])]
    kept = ProcessKeeper(children, 0.0, file)
    thread = threading.Thread(target=kept.run)
    thread.start()
    try:
        if runs:
            eventually(file.exists)
        else:
            eventually(lambda: children[0].restart_delay > keeper.MIN_UPTIME * 2)
            assert not file.exists()
    finally:
        kept.drain()
        thread.join()
