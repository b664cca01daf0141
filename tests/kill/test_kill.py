"""The kill tests' short form: as `python -m tests.kill.run --short`, with a short lease."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.kill.flows import FLOWS
from tests.repository import ROOT

LEAST_KILLED = 120
LEASE = "15"
"""Seconds. A healthy process on a busy machine may get no turn for some, and loses its job when that is a lease."""


@pytest.mark.timeout(1200)
def test_whatever_is_killed_anywhere_heals() -> None:
    # a process of its own, since it forks, and this one has threads
    command = [sys.executable, "-m", "tests.kill.run", "--short", "--lease", LEASE, "--sweep", "1"]
    apart: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stdin": subprocess.DEVNULL,
        "start_new_session": True,
        "cwd": ROOT,
    }
    with subprocess.Popen(command, text=True, **apart) as process:
        try:
            said, _ = process.communicate(timeout=1140)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said[-20_000:]
    killed = dict(re.findall(r"^(.{45}) +(\d+) killed", said, re.MULTILINE))
    assert all(int(killed[f"{name:45}"]) > 0 for name in FLOWS)
    assert int(killed[f"{'all flows':45}"]) >= LEAST_KILLED
