"""Instructions of a no-op job in its runner: `python -m bench.runner_instructions`. Needs valgrind.

The runner is in a process of its own, as in production, and the supervisor at the other end of its channel in another,
which is not counted. `bench.worker_instructions` counts the supervisor.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from bench import noop_job
from bench.callgrind import COUNTED, WARM_UP, counting, instructions_each
from coatcheck.authoring.loading import load_handlers, load_job_types
from coatcheck.core.clock import HOUR, system_clock
from coatcheck_worker.protocol import Returned, RunJob, runner_end, supervisor_end
from coatcheck_worker.runner.main_loop import ChannelPort, serve
from coatcheck_worker.runner.s3_transport import SignedS3Transport
from coatcheck_worker.runner.traces import Snapshot, take_snapshot

RUN, SUPERVISE = "--run", "--supervise"


def measure() -> float:
    """Return the instructions of a job."""
    env = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}
    return instructions_each(["-m", "bench.runner_instructions", RUN], env=env)


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(prog="python -m bench.runner_instructions", description=__doc__)
    parser.add_argument(RUN, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(SUPERVISE, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        _run()
    elif options.supervise is not None:
        _supervise(socket.socket(fileno=options.supervise))
    else:
        sys.stdout.write(f"runner     {measure() / 1e6:6.2f} M\n")


def _run() -> None:
    """Be the runner. A look for traces ends each job, and one comes before the first."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "bench.runner_instructions", SUPERVISE, str(theirs.fileno())]
    with ExitStack() as counted, theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()]):  # noqa: S603 - ours
        jobs = itertools.count()

        def snapshot() -> Snapshot:
            done = next(jobs)
            if done == WARM_UP:
                counted.enter_context(counting())
            elif done == WARM_UP + COUNTED:
                counted.close()
            return take_snapshot()

        theirs.close()
        channel = runner_end(ours)
        handlers = load_handlers(load_job_types([noop_job.__name__]))
        transport = SignedS3Transport()
        serve(channel, ChannelPort(channel), handlers, transport=transport, clock=system_clock, snapshot=snapshot)


def _supervise(end: socket.socket) -> None:
    """Be the supervisor."""
    channel, given = supervisor_end(end), b"{}"
    with tempfile.TemporaryDirectory() as folder:
        for number in range(WARM_UP + COUNTED):
            channel.send(_job(number, folder, len(given)), given)
            answer = channel.receive()
            assert answer is not None
            assert isinstance(answer[0], Returned)


def _job(number: int, folder: str, input_size: int) -> RunJob:
    return RunJob(
        number=number,
        tenant="t",
        id="job_1",
        type=noop_job.noop.name,
        lane="default",
        created_at=system_clock(),
        attempt=1,
        counted_attempt=1,
        counted_max_attempts=3,
        deadline=system_clock() + HOUR,
        bucket="bucket",
        workdir=folder,
        input_size=input_size,
        has_checkpoint=False,
    )


if __name__ == "__main__":
    main()
