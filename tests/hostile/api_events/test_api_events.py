"""Events of API Gateway, function URLs and load balancers that no honest client makes."""

from __future__ import annotations

import subprocess
import sys

from tests.repository import ROOT


def test_each_event_has_an_answer_that_is_no_error_of_ours() -> None:
    command = [sys.executable, "-m", "tests.hostile.api_events", "--events", "3000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
