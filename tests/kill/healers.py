"""The ordinary processes that make good what a killed one left: workers, a sweeper, an API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import httpx

from coatcheck.deployment import WEBHOOKS
from infra.embedded import environment
from infra.embedded.processes import ROOT
from tests.kill.flows import API
from tests.kill.ground import LANE, Ground
from tests.kill.scene import Scene, keys
from tests.kill.victims import Errand, Nursery

PROCESSES = "6"
STOPPED_WITHIN = 15.0


@contextmanager
def running(
    ground: Ground,
    module: str,
    *options: str,
    env: Mapping[str, str] = MappingProxyType({}),
    fds: tuple[int, ...] = (),
    **changes: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m MODULE` on the deployment's own queues, until the block ends.

    `env` is added to its environment, `fds` stay open in it, `changes` are fields of its deployment.
    """
    whole = {**ground.environment(**changes), **env}
    with (ground.scratch / "healers.log").open("a") as log:
        command = [sys.executable, "-m", module, *options]
        process = subprocess.Popen(
            command, env=whole, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def workers(ground: Ground, processes: str = PROCESSES, memory: str = "2048") -> Iterator[subprocess.Popen[bytes]]:
    """The real supervisor with its workers, whose handlers are those of these tests."""
    options = ("--lane", LANE, "--lane", WEBHOOKS, "--processes", processes, "--grace", "1", "--memory", memory)
    with running(ground, "tests.kill.supervisor", *options) as process:
        yield process


@contextmanager
def sweeper(ground: Ground, every: float) -> Iterator[subprocess.Popen[bytes]]:
    """The real sweeper."""
    with running(ground, "worker.sweeper", "--every", str(every)) as process:
        yield process


def ask_again(ground: Ground, nursery: Nursery, scenes: Sequence[Scene]) -> None:
    """Repeat the requests that nobody answered, to an API that lives."""
    known = keys(*(scene.tenant for scene in scenes))
    with socket.create_server((environment.LOOPBACK, 0)) as listener:
        url = f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}"
        pid, tells = nursery.fork(Errand(API, "", ground.deployment.queues[LANE], None, known, listener))
    os.close(tells)
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            for scene in scenes:
                _repeat(client, scene)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _repeat(client: httpx.Client, scene: Scene) -> None:
    asked = scene.request
    if asked is None:
        return
    headers = {"Authorization": f"Bearer {scene.tenant}", **asked.headers}
    answer = client.request(asked.method, asked.path, json=asked.body, headers=headers)
    if answer.status_code not in asked.answers:
        scene.flaws.append(f"asked again, the API answered {answer.status_code}: {answer.text[:300]}")
