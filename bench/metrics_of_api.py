"""CPU that the API's process takes for a GET, with metrics and without: `python -m bench.metrics_of_api`.

Two processes of the API on MiniStack, one with metrics for CloudWatch and Prometheus, take turns in answering.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.ports import free_port
from bench.worker_stack import WorkerStack, worker_stack
from coatcheck.core.settings import PREFIX
from tests.waiting import eventually

KEY = "k" * 32
BLOCK = 150
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ApiProcess:
    """The API as a process, and a client of it."""

    pid: int
    client: httpx.Client

    def cpu_of(self, path: str) -> float:
        """Seconds of CPU that it takes to answer a block of GETs."""
        before = self._cpu()
        for _ in range(BLOCK):
            self.client.get(path).raise_for_status()
        return self._cpu() - before

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return self.client.get("/v1/health").is_success
        except httpx.HTTPError:
            return False

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / TICKS


@contextmanager
def api_process(stack: WorkerStack, more: Mapping[str, str]) -> Iterator[ApiProcess]:
    """`python -m coatcheck_service` with these settings too, until the block ends."""
    port = free_port()
    keys = {
        f"{PREFIX}API_KEYS": json.dumps({hashlib.sha256(KEY.encode()).hexdigest(): "t"}),
        f"{PREFIX}JOBS": "jobs.demo",
    }
    command = [sys.executable, "-m", "coatcheck_service", "--port", str(port)]
    output = subprocess.DEVNULL
    process = subprocess.Popen(command, env={**stack.env, **keys, **more}, stdout=output, stderr=output)  # noqa: S603
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
        api = ApiProcess(process.pid, client)
        try:
            eventually(api.answers, 120)
            yield api
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.metrics_of_api", description=__doc__)
    parser.add_argument("--blocks", type=int, default=12, help=f"of {BLOCK} requests, for each (default: 12)")
    blocks = parser.parse_args().blocks
    metrics = {f"{PREFIX}METRICS": "emf", f"{PREFIX}METRICS_PORT": str(free_port())}
    with worker_stack() as stack, ExitStack() as running:
        without, told = (running.enter_context(api_process(stack, more)) for more in ({}, metrics))
        body = {"type": "demo.sleep", "input": {"seconds": 0}}
        path = f"/v1/jobs/{without.client.post('/v1/jobs', json=body).raise_for_status().json()['id']}"
        pairs = [(without.cpu_of(path), told.cpu_of(path)) for _ in range(blocks + 1)][1:]
    for name, seconds in zip(("without", "with metrics"), map(sum, zip(*pairs, strict=True)), strict=True):
        sys.stdout.write(f"{name:14}{seconds / blocks / BLOCK * 1e6:8.0f} us of CPU a GET\n")


if __name__ == "__main__":
    main()
