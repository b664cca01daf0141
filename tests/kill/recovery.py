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

from coatcheck.core.settings import WEBHOOKS
from coatcheck_infra.local import environment
from tests.kill.crash_run import CrashRun, keys
from tests.kill.crash_targets import ProcessForker, ProcessSpec
from tests.kill.emulator import LANE, Emulator
from tests.kill.flows import API
from tests.repository import ROOT

RUNNERS = "6"
STOPPED_WITHIN = 15.0


@contextmanager
def running(
    emulator: Emulator,
    module: str,
    *options: str,
    env: Mapping[str, str] = MappingProxyType({}),
    fds: tuple[int, ...] = (),
    **changes: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m MODULE` on the deployment's own queues, until the block ends.

    `env` is added to its environment, `fds` stay open in it, `changes` are fields of its deployment.
    """
    whole = {**emulator.environment(**changes), **env}
    with (emulator.scratch / "recovery.log").open("a") as log:
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
def workers(emulator: Emulator, runners: str = RUNNERS, memory: str = "2048") -> Iterator[subprocess.Popen[bytes]]:
    """The real worker with its runners, whose handlers are those of these tests."""
    options = ("--lane", LANE, "--lane", WEBHOOKS, "--runners", runners, "--grace", "1", "--memory", memory)
    with running(emulator, "tests.kill.worker", *options) as process:
        yield process


@contextmanager
def sweeper(emulator: Emulator, every: float) -> Iterator[subprocess.Popen[bytes]]:
    """The real sweeper."""
    with running(emulator, "coatcheck_worker.sweep", "--every", str(every)) as process:
        yield process


def ask_again(emulator: Emulator, forker: ProcessForker, crash_runs: Sequence[CrashRun]) -> None:
    """Repeat the requests that nobody answered, to an API that lives."""
    known = keys(*(crash_run.tenant for crash_run in crash_runs))
    with socket.create_server((environment.LOOPBACK, 0)) as listener:
        url = f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}"
        pid, _ = forker.fork(ProcessSpec(API, "", emulator.settings.queues[LANE], None, known, listener))
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            for crash_run in crash_runs:
                _repeat(client, crash_run)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _repeat(client: httpx.Client, crash_run: CrashRun) -> None:
    asked = crash_run.request
    if asked is None:
        return
    headers = {"Authorization": f"Bearer {crash_run.tenant}", **asked.headers}
    answer = client.request(asked.method, asked.path, json=asked.body, headers=headers)
    if answer.status_code not in asked.answers:
        crash_run.violations.append(f"asked again, the API answered {answer.status_code}: {answer.text[:300]}")
