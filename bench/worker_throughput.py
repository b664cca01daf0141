"""No-op jobs a second, and what CPU a worker takes for one: `python -m bench.worker_throughput --jobs 400`.

The worker is real processes on MiniStack, which is the slower part of the two; and before a server that answers for AWS
at once, from a queue that is never empty. The floor is the same calls to AWS, sent by threads of one process that run
nothing. Jobs wait in the queue when the clock starts.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.aws_answers import aws_answers
from bench.one_queue import SUPERVISOR, OneQueue, supervisor_environment
from bench.worker_stack import LANE, OPTION, WorkerStack, worker_stack
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.sqs import delete, receive
from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.job import JSON, Blob, Job
from coatcheck.core.lifecycle import SUCCEED
from coatcheck.core.messages import JobMessage
from tests.processes import processes_below

NOOP, FRESH = "bench.noop", "bench.fresh"
SIZES = (1, 4, 10)
WARM_UP = 100
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rate:
    """Jobs a second, and milliseconds of CPU that the worker's processes took for one."""

    jobs: float
    cpu: float


def of_worker(stack: WorkerStack, runners: int, job_type: str, count: int) -> Rate:
    """The rate of a worker with so many runners."""
    modules = ["bench.noop_job"] if job_type == NOOP else ["bench.noop_job", "bench.dying_jobs"]
    with stack.worker(runners, modules) as worker:
        for job in stack.submit(job_type, 4 * runners):
            stack.done(job)
        with _halted(worker):
            jobs = stack.submit(job_type, count)
        return _rate(stack, jobs, lambda: _cpu_of(worker))


def of_null(runners: int, count: int) -> Rate:
    """The rate of a worker with so many runners before a server that answers at once (`bench.aws_answers`)."""
    queue = OneQueue()
    with aws_answers(queue.answer) as url, tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
        command = [sys.executable, *SUPERVISOR, "--runners", str(runners)]
        env = {**supervisor_environment(url), "TMPDIR": folder}
        with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as worker:  # noqa: S603 - our own module
            queue.wait_for(WARM_UP)
            began, cpu, before = time.monotonic(), _cpu_of(worker.pid), queue.deleted
            queue.wait_for(WARM_UP + count)
            jobs = queue.deleted - before
            rate = Rate(jobs / (time.monotonic() - began), (_cpu_of(worker.pid) - cpu) / jobs)
            worker.terminate()
    return rate


def of_floor(stack: WorkerStack, threads: int, count: int) -> Rate:
    """The rate of threads that send a worker's calls, and run nothing."""
    jobs = stack.submit(NOOP, count)
    over = threading.Event()
    pool = [threading.Thread(target=_work, args=(stack, over)) for _ in range(threads)]
    for thread in pool:
        thread.start()
    try:
        return _rate(stack, jobs, lambda: time.process_time() * 1000)
    finally:
        over.set()
        for thread in pool:
            thread.join()


def _work(stack: WorkerStack, over: threading.Event) -> None:
    send, settings = stack.aws.send, stack.settings
    while not over.is_set():
        for received in send(receive(settings.queues[LANE], wait=1, limit=1)):
            message = JobMessage.parse(received.body)
            key, now = JobKey(message.tenant, message.job), system_clock()
            job = send(transitions.claim(settings.table, key, now=now, lease=60 * SECOND, owner=str(now)))
            assert isinstance(job, Job)
            result = Blob.of(b"{}", JSON)
            send(transitions.settle(settings.table, job, SUCCEED, now=system_clock(), result=result))
            send(delete(received))


def _rate(stack: WorkerStack, jobs: Sequence[Job], cpu: Callable[[], float]) -> Rate:
    used = cpu()
    done = [stack.done(job) for job in jobs]
    used = cpu() - used
    began = min(job.started_at or 0 for job in done)
    ended = max(job.finished_at or 0 for job in done)
    return Rate(len(jobs) * SECOND / (ended - began), used / len(jobs))


@contextmanager
def _halted(worker: int) -> Iterator[None]:
    """Let the worker stand still, so that all of its work is there when it goes on."""
    processes = [worker, *processes_below(worker)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def _cpu_of(worker: int) -> float:
    """Milliseconds of CPU that these processes, and those below them that have ended, took until now."""
    ticks = 0
    for process in [worker, *processes_below(worker)]:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        # utime, stime, and of children that were waited for: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        ticks += sum(map(int, fields[11:15]))
    return ticks * 1000 / TICKS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker_throughput", description=__doc__)
    parser.add_argument("--jobs", type=int, default=400, help="at each row (default: 400)")
    count = parser.parse_args().jobs
    sys.stdout.write(f"{'':36}{'jobs/s':>10}{'CPU ms':>10}\n")
    for size in SIZES:
        _print(f"{OPTION} {size}, AWS answers at once", of_null(size, count))
    for name, measure in _rows(count):
        with worker_stack() as stack:
            rate = measure(stack)
        _print(name, rate)


def _print(name: str, rate: Rate) -> None:
    sys.stdout.write(f"{name:36}{rate.jobs:10.1f}{rate.cpu:10.2f}\n")
    sys.stdout.flush()


def _rows(count: int) -> Iterator[tuple[str, Callable[[WorkerStack], Rate]]]:
    for size in SIZES:
        yield f"{size} threads without a worker", partial(of_floor, threads=size, count=count)
        yield f"{OPTION} {size}", partial(of_worker, runners=size, job_type=NOOP, count=count)
        if OPTION == "--runners":
            yield f"{OPTION} {size}, fresh", partial(of_worker, runners=size, job_type=FRESH, count=count)


if __name__ == "__main__":
    main()
