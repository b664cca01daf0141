"""No-op jobs of a worker, beside those of other queues: `python -m bench.queue_peers`.

Each queue has its jobs before its worker starts, a process that runs as many at a time as is its default; ours, beside
it, runs as many. What uses SQS and DynamoDB is on MiniStack, which is the slower part of the two; what uses Redis is on
this machine's `redis-server` (Debian: redis-server), so that their jobs a second are those of another store: beside
them stands our worker before a server that answers at once, too. CPU is of the worker's processes alone, so go by it.
The other queues are pinned in requirements/tools.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.ports import free_port, wait_for_port
from bench.worker_stack import LANE, worker_stack
from bench.worker_throughput import NOOP, Rate, of_null, of_worker
from coatcheck_infra.toolchain.environments import ToolEnvironment, ensure_installed
from tests.repository import ROOT

COUNT = 200
LOCKS = ROOT / "requirements" / "tools"
TIME_LIMIT = 120.0


class NotInstalled(Exception):
    """A program that is needed is not on this machine. The message says how to get it."""


def ours(runners: int = 1) -> Rate:
    """A worker with so many runners."""
    with worker_stack() as stack:
        return of_worker(stack, runners, NOOP, COUNT)


def _on_aws(module: str) -> Rate:
    with worker_stack() as stack:
        settings = stack.settings
        queue = {"PEER_QUEUE": settings.queues[LANE], "PEER_TABLE": settings.table}
        return _measured(module, {**stack.env, **queue, "PEER_URL": stack.env["AWS_ENDPOINT_URL"]})


def _on_redis(module: str, environment: str = "bench-peers") -> Rate:
    with redis() as url:
        return _measured(module, {**os.environ, "PEER_URL": url}, environment)


PEERS: Mapping[str, partial[Rate]] = {
    "boto3 by hand": partial(_on_aws, "boto3_queue"),
    "Celery on SQS": partial(_on_aws, "celery_queue"),
    "arq on Redis": partial(_on_redis, "arq_queue"),
    "taskiq on Redis": partial(_on_redis, "taskiq_queue", "bench-taskiq"),
}


RUNNERS: Mapping[str, int] = {"boto3 by hand": 1, "Celery on SQS": 1, "arq on Redis": 10, "taskiq on Redis": 10}
"""How many jobs each peer runs at a time, and so do we beside it. It is arq's default; taskiq's is 100, too many for a
process each."""


def peer_python(environment: str = "bench-peers") -> Path:
    """The interpreter that has the other queues. Installs them when it is first asked for."""
    tool = ToolEnvironment(environment, "what benches stand beside", LOCKS / f"{environment}.txt")
    return ensure_installed(tool, os.environ, _say)


def _measured(module: str, env: Mapping[str, str], environment: str = "bench-peers") -> Rate:
    program, env = [str(peer_python(environment)), "-m", f"bench.peers.{module}"], {**env, "PEER_JOBS": str(COUNT)}
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
def redis() -> Iterator[str]:
    """The address of a Redis of our own, until the block ends. Raises NotInstalled."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotInstalled("redis-server is not on PATH: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:  # noqa: S603 - fixed but for the port
            try:
                wait_for_port(port)
                yield f"redis://127.0.0.1:{port}"
            finally:
                server.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue_peers", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, help="this one alone")
    options = parser.parse_args()
    for name in [options.peer] if options.peer else PEERS:
        runners = RUNNERS[name]
        beside = {f"coatcheck, {runners} at a time": partial(ours, runners), name: PEERS[name]}
        if PEERS[name].func is _on_redis:
            beside["coatcheck, AWS answers at once"] = partial(of_null, runners, COUNT)
        for who, measure in beside.items():
            rate = measure()
            sys.stdout.write(f"{who:32}{rate.jobs:8.0f} jobs/s{rate.cpu:8.2f} ms of CPU a job\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
