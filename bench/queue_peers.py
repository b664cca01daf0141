"""No-op jobs of a worker, beside those of other queues: `python -m bench.queue_peers`.

Each queue has its jobs before its worker starts, a process that runs one at a time unless its default is another. What
uses SQS and DynamoDB is on MiniStack, which is the slower part of the two; what uses Redis is on this machine's
`redis-server` (Debian: redis-server), so that their jobs a second are those of another store. CPU is of the worker's
processes alone, so go by it. The other queues are pinned in requirements/tools.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from bench.worker_stack import LANE, worker_stack
from bench.worker_throughput import NOOP, Rate, of_worker
from coatcheck_infra.toolchain.environments import ToolEnvironment, ensure_installed
from tests.repository import ROOT

COUNT = 200
LOCKS = ROOT / "requirements" / "tools"
TIME_LIMIT = 120.0


class NotInstalled(Exception):
    """A program that is needed is not on this machine. The message says how to get it."""


def ours() -> Rate:
    """A worker with one runner."""
    with worker_stack() as stack:
        return of_worker(stack, 1, NOOP, COUNT)


def _on_aws(module: str) -> Rate:
    with worker_stack() as stack:
        settings = stack.settings
        queue = {"PEER_QUEUE": settings.queues[LANE], "PEER_TABLE": settings.table}
        return _measured(module, {**stack.env, **queue, "PEER_URL": stack.env["AWS_ENDPOINT_URL"]})


def _on_redis(module: str, environment: str = "bench-peers") -> Rate:
    with _redis() as url:
        return _measured(module, {**os.environ, "PEER_URL": url}, environment)


PEERS: Mapping[str, Callable[[], Rate]] = {
    "boto3 by hand": partial(_on_aws, "boto3_queue"),
    "Celery on SQS": partial(_on_aws, "celery_queue"),
    "arq on Redis": partial(_on_redis, "arq_queue"),
    "taskiq on Redis": partial(_on_redis, "taskiq_queue", "bench-taskiq"),
}


def _measured(module: str, env: Mapping[str, str], environment: str = "bench-peers") -> Rate:
    tool = ToolEnvironment(environment, "what benches stand beside", LOCKS / f"{environment}.txt")
    python = ensure_installed(tool, os.environ, _say)
    program, env = [str(python), "-m", f"bench.peers.{module}"], {**env, "PEER_JOBS": str(COUNT)}
    for what in ("submit", "work"):
        ended = subprocess.run(  # noqa: S603 - our own modules
            [*program, what], env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIME_LIMIT
        )
        if ended.returncode:
            raise RuntimeError(f"{module} {what} ended with {ended.returncode}: {ended.stderr[-1000:]}")
    return Rate(**json.loads(ended.stdout.strip().splitlines()[-1]))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextmanager
def _redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise NotInstalled("redis-server is not on PATH: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:  # noqa: S603 - fixed but for the port
            try:
                _wait_for(port)
                yield f"redis://127.0.0.1:{port}"
            finally:
                server.terminate()


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue_peers", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, help="this one alone")
    options = parser.parse_args()
    for name, measure in {"coatcheck": ours, **PEERS}.items():
        if options.peer not in {None, name}:
            continue
        rate = measure()
        sys.stdout.write(f"{name:20}{rate.jobs:8.0f} jobs/s{rate.cpu:8.2f} ms of CPU a job\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
