"""From a submit until a client sees that its job is done: `python -m bench.submit_to_done --jobs 200`.

The API under uvicorn and a worker with one runner, on MiniStack. Beside them the same written by hand with FastAPI and
boto3 (`bench.peers.api`, `bench.peers.poller`), with a queue of its own. Both are there all the time and take turns,
job by job, so that a busy machine is as busy for both. A client submits, and looks until the job is done.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import boto3

from bench.api_requests import KEY, TENANT
from bench.ports import free_port, wait_for_port
from bench.worker_stack import WorkerStack, worker_stack
from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey, read_key
from coatcheck.core.aws.dynamodb.key_items import put_key
from coatcheck.core.clock import system_clock
from coatcheck.core.settings import PREFIX

MODULE, JOB_TYPE = "bench.noop_job", "bench.noop"
LOOK_EVERY = 0.005
PATIENCE = 60.0
WARM_UP = 20
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
BODY = json.dumps({"type": JOB_TYPE, "input": {}})


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds from submit to done: half of the jobs, and 99 of 100, took no longer."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        """Those of a sample."""
        in_order = sorted(1000 * each for each in seconds)
        return cls(in_order[len(in_order) // 2], in_order[len(in_order) * 99 // 100])


class Client:
    """Talks to one API over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def run(self) -> float:
        """Submit a job, and look until it is done. Return how many seconds that took."""
        began = time.perf_counter()
        job = self._ask("POST", "/v1/jobs", BODY)["id"]
        while self._ask("GET", f"/v1/jobs/{job}")["status"] != "succeeded":
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"{job} is not done after {PATIENCE:g} s")
            time.sleep(LOOK_EVERY)
        return time.perf_counter() - began

    def _ask(self, method: str, path: str, body: str | None = None) -> Mapping[str, str]:
        self._connection.request(method, path, body, HEADERS)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status not in {200, 202}:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        said: Mapping[str, str] = json.loads(text)
        return said


def measure(jobs: int) -> Mapping[str, Percentiles]:
    """The times of so many jobs each."""
    with worker_stack() as stack, ExitStack() as running:
        clients = {
            "coatcheck": Client(running.enter_context(_ours(stack))),
            "by hand": Client(running.enter_context(_by_hand(stack))),
        }
        taken: dict[str, list[float]] = {who: [] for who in clients}
        for number in range(WARM_UP + jobs):
            for who, client in clients.items():
                seconds = client.run()
                if number >= WARM_UP:
                    taken[who].append(seconds)
        return {who: Percentiles.of(seconds) for who, seconds in taken.items()}


@contextmanager
def _ours(stack: WorkerStack) -> Iterator[int]:
    presented, now = read_key(KEY), system_clock()
    key = ApiKey(presented.id, presented.digest, TENANT, TENANT_SCOPES, now, "bench", last_used_at=now)
    stack.aws.send(put_key(stack.settings.table, key))
    port, env = free_port(), {**stack.env, f"{PREFIX}JOBS": MODULE}
    command = ["coatcheck_service", "--port", str(port)]
    with stack.worker(1, [MODULE]), _running(command, env):
        wait_for_port(port)
        yield port


@contextmanager
def _by_hand(stack: WorkerStack) -> Iterator[int]:
    sqs = boto3.client(
        "sqs",
        endpoint_url=stack.env["AWS_ENDPOINT_URL"],
        region_name=stack.env["AWS_DEFAULT_REGION"],
        aws_access_key_id=stack.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stack.env["AWS_SECRET_ACCESS_KEY"],
    )
    queue = sqs.create_queue(QueueName="by-hand")["QueueUrl"]
    port = free_port()
    env = {
        **stack.env,
        "PEER_TABLE": stack.settings.table,
        "PEER_QUEUE": queue,
        "PEER_KEYS": json.dumps({read_key(KEY).digest.hex(): TENANT}),
    }
    api = ["uvicorn", "bench.peers.api:app", "--port", str(port), "--no-access-log"]
    with _running(["bench.peers.poller"], env), _running(api, env):
        wait_for_port(port)
        yield port


@contextmanager
def _running(module: Sequence[str], env: Mapping[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            yield
        finally:
            process.kill()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.submit_to_done", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="of each (default: 200)")
    for who, taken in measure(parser.parse_args().jobs).items():
        sys.stdout.write(f"{who:12} p50 {taken.p50:7.1f} ms   p99 {taken.p99:7.1f} ms\n")


if __name__ == "__main__":
    main()
