"""The API as a process: its metrics for CloudWatch and for Prometheus, until its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from coatcheck.core.settings import PREFIX, Settings
from coatcheck_infra.local import environment
from tests.metric_lines import data_of
from tests.waiting import eventually

pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def answers(url: str) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return httpx.get(url, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return asked


def test_what_was_recorded_last_is_told_before_the_process_ends(
    settings: Settings, emulator_url: str, tmp_path: Path
) -> None:
    port, metrics_port = free_port(), free_port()
    given = {**settings.model_dump(exclude_none=True), "jobs": "jobs.demo", "metrics": "emf"}
    variables = {
        f"{PREFIX}{name.upper()}": json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in {**given, "metrics_port": metrics_port}.items()
    }
    env = environment.child_environment(os.environ, tmp_path, emulator_url) | variables
    command = [sys.executable, "-m", "coatcheck_service", "--port", str(port)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            eventually(answers(f"http://127.0.0.1:{port}/v1/health"), 120)
            told = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", trust_env=False).text
            assert 'coatcheck_requests_total{endpoint="GET /v1/health",status_class="2xx"}' in told
            httpx.get(f"http://127.0.0.1:{port}/v1/nowhere", trust_env=False)
        finally:
            process.send_signal(signal.SIGTERM)
            written, _ = process.communicate(timeout=60)
    lines = [line for line in written.splitlines() if line.startswith("{")]
    assert [one.value for one in data_of(lines) if one.dimensions == {"Endpoint": "none", "StatusClass": "4xx"}] == [1]
