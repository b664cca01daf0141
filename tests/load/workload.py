"""Many jobs under everything that goes wrong at once, and what came of each."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from coatcheck.client.sync_client import Client
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_infra.local import environment
from tests.kill.checks import history
from tests.kill.crash_run import keys
from tests.kill.emulator import LANE, Emulator
from tests.kill.recovery import running
from tests.load.faulty_transports import FaultRates
from tests.load.job_type import LoadResult, digest, work
from tests.processes import processes_below

CLIENTS = 8
LOOK_EVERY = 1.0
RUNNERS = 2
TENANT = "load"
MOST_BASIC = 3
"""Processes below a worker that runs jobs: a supervisor, what starts its runners, and a runner."""

HIT_EARLY = 0.1
PATIENCE = 300.0
"""Seconds that a client goes on asking: the API stands on an AWS that fails, on a machine that is busy."""

SHORTEST, LONGEST = 0.5, 3.0
TAKEN_OVER = "taken over from a lost worker"


@dataclass(frozen=True)
class Load:
    """What is asked for. `kill_every`, `sweep_every` and `give_up_after` are in seconds.

    No more workers are killed after `most_kills`: on a slow machine, they would otherwise never get to work.
    """

    jobs: int
    workers: int
    kill_every: float
    fault_rates: FaultRates
    sweep_every: float
    give_up_after: float
    most_kills: int = sys.maxsize


@dataclass
class Report:
    """What came of it: how often workers were killed, how many attempts there were, why each but the first of a job."""

    kills: int = 0
    attempts: int = 0
    again: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def run(emulator: Emulator, load: Load) -> Report:
    """Submit, kill until all is done, and look at every job."""
    report = Report()
    began = time.monotonic()
    with _stack(emulator, load) as (url, workers), _killing(workers, load, report):
        words = _submit_all(url, load.jobs)
        _await_all(emulator, list(words), began + load.give_up_after)
    report.seconds = time.monotonic() - began
    for job_id, word in words.items():
        _check_job(emulator, job_id, word, report)
    return report


@contextmanager
def _stack(emulator: Emulator, load: Load) -> Iterator[tuple[str, Sequence[int]]]:
    """API, workers and sweeper; gives the URL of the API and the process ids of the workers."""
    env = load.fault_rates.to_environ()
    options = ("--lane", LANE, "--runners", str(RUNNERS), "--memory", "1024", "--grace", "1")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((environment.LOOPBACK, 0), backlog=128))
        app = ("tests.load.api:app", str(listener.fileno()))
        serves = running(
            emulator, "coatcheck_infra.local.serve", *app, env=env, fds=(listener.fileno(),), api_keys=keys(TENANT)
        )
        stack.enter_context(serves)
        stack.enter_context(running(emulator, "tests.load.sweeper", "--every", str(load.sweep_every), env=env))
        workers = [
            stack.enter_context(running(emulator, "tests.load.worker", *options, env=env)) for _ in range(load.workers)
        ]
        yield f"http://{environment.LOOPBACK}:{listener.getsockname()[1]}", [worker.pid for worker in workers]


@contextmanager
def _killing(workers: Sequence[int], load: Load, report: Report) -> Iterator[None]:
    """Kill one of the workers' processes now and then until the block ends, or there were enough.

    It is a supervisor, the process that starts its runners, or a runner.
    """
    enough = threading.Event()

    def kill() -> None:
        while report.kills < load.most_kills and not enough.wait(load.kill_every):
            if processes := [process for worker in workers for process in _victims(worker)]:
                # one that has just ended is not another's process yet: it has ended with its parent, or is not reaped
                with suppress(ProcessLookupError):
                    os.kill(random.choice(processes), signal.SIGKILL)
                    report.kills += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def _victims(worker: int) -> Sequence[int]:
    """The processes of a worker, or none before it has a runner: on a slow machine, none would ever get that far.

    Now and then one that is still starting is hit all the same.
    """
    processes = list(processes_below(worker))
    return processes if len(processes) >= MOST_BASIC or random.random() < HIT_EARLY else []


def _submit_all(url: str, jobs: int) -> Mapping[str, str]:
    """The word of each job by its id."""

    def submit(client: Client) -> tuple[str, str]:
        word = secrets.token_hex(8)
        seconds = random.uniform(SHORTEST, LONGEST)
        return client.submit(work.name, {"seconds": seconds, "word": word}).id, word

    with Client(url, TENANT, retry_timeout=PATIENCE) as client, ThreadPoolExecutor(CLIENTS) as pool:
        return dict(pool.map(submit, [client] * jobs))


def _await_all(emulator: Emulator, job_ids: Sequence[str], give_up_at: float) -> None:
    waiting = set(job_ids)
    while waiting and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY)
        waiting = {job_id for job_id in waiting if not _row(emulator, job_id).done}


def _row(emulator: Emulator, job_id: str) -> Job:
    job = emulator.row(JobKey(TENANT, job_id))
    assert job is not None, f"{job_id} was accepted, and is not there"
    return job


def _check_job(emulator: Emulator, job_id: str, word: str, report: Report) -> None:
    job = _row(emulator, job_id)
    report.attempts += job.attempt
    if not job.done:
        report.violations.append(f"{job_id} is still {job.status} after {report.seconds:.0f} s")
        return
    kinds = [event.type for event in history(emulator, job)]
    again = Counter(_reasons(emulator, job))
    report.again += again
    if job.status is not Status.SUCCEEDED or job.result is None or kinds.count("job.succeeded") != 1:
        report.violations.append(f"{job_id} is {job.status}, after {', '.join(kinds)}")
    elif LoadResult.model_validate_json(job.result.inline or b"").digest != digest(job_id, word):
        report.violations.append(f"{job_id} has the result of another")
    if kinds.count("job.started") != job.attempt or again.total() != job.attempt - 1:
        report.violations.append(f"{job_id} had {job.attempt} attempts; its history tells of {', '.join(kinds)}")


def _reasons(emulator: Emulator, job: Job) -> Iterator[str]:
    """Why each attempt but the first was made."""
    before = None
    for event in history(emulator, job):
        if event.type == "job.retrying":
            yield event.error.code if event.error else "no reason"
        elif event.type == "job.started" and before == "job.started":
            yield TAKEN_OVER
        before = event.type
