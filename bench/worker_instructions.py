"""Instructions of a no-op job in the worker, and its requests: `python -m bench.worker_instructions`. Needs valgrind.

The supervisor works with its runner as in production, before a server that answers for AWS, and is counted; what the
runner takes, `bench.runner_instructions` counts. Beside them stand a poller written by hand with boto3 that sends the
same requests and runs nothing, and arq before a Redis of this machine. The work of a start goes out: a run of many jobs
is compared with one of few.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import runner_instructions
from bench.aws_answers import aws_answers
from bench.one_queue import SUPERVISOR, OneQueue, supervisor_environment
from bench.queue_peers import peer_python, redis
from tests.repository import ROOT

FEW, MANY = 30, 90
BY_HAND = ["-m", "bench.peers.poller"]


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions and requests for a job."""

    instructions: float
    requests: Mapping[str, float]


def measure(arguments: Sequence[str]) -> Counted:
    """What a worker with these arguments takes for a job. Its child processes are not counted."""
    (few, after_few), (many, after_many) = _run(arguments, FEW), _run(arguments, MANY)
    jobs = after_many.deleted - after_few.deleted
    requests = after_many.requests - after_few.requests
    return Counted((many - few) / jobs, {name: count / jobs for name, count in sorted(requests.items())})


def measure_arq() -> float:
    """The instructions of a worker of arq for a job. Raises NotInstalled."""
    few, many = _run_arq(FEW), _run_arq(MANY)
    return (many - few) / (MANY - FEW)


def _run(arguments: Sequence[str], jobs: int) -> tuple[int, OneQueue]:
    """Run a worker until it has done so many jobs. Return the instructions of its process, and what it has asked."""
    queue = OneQueue()
    with aws_answers(queue.answer) as url, tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
        log = Path(folder) / "counted"
        command = [*_valgrind(log), sys.executable, *arguments]
        process = subprocess.Popen(command, env=supervisor_environment(url), stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        try:
            queue.wait_for(jobs)
        except TimeoutError:
            process.kill()
            raise
        process.send_signal(signal.SIGTERM)
        process.wait()
        return _collected(log), queue


def _run_arq(jobs: int) -> int:
    with redis() as url, tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
        program = [str(peer_python()), "-m", "bench.peers.arq_queue"]
        env = {**os.environ, "PEER_URL": url, "PEER_JOBS": str(jobs)}
        log = Path(folder) / "counted"
        for command in ([*program, "submit"], [*_valgrind(log), *program, "work"]):
            subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, timeout=500)  # noqa: S603 - ours
        return _collected(log)


def _valgrind(log: Path) -> Sequence[str]:
    return ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}")


def _collected(log: Path) -> int:
    counted = re.search(r"Collected : (\d+)", log.read_text())
    assert counted is not None
    return int(counted[1])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Instructions of a job in our processes, in the poller by hand, and in arq."""

    supervisor: Counted
    runner: float
    by_hand: Counted
    arq: float

    @property
    def ours(self) -> float:
        """Those of supervisor and runner together."""
        return self.supervisor.instructions + self.runner


def compare() -> Comparison:
    """Measure all. Raises NotInstalled."""
    return Comparison(measure(SUPERVISOR), runner_instructions.measure(), measure(BY_HAND), measure_arq())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker_instructions", description=__doc__)
    parser.parse_args()
    found = compare()
    _print("supervisor", found.supervisor.instructions, _requests(found.supervisor))
    _print("runner", found.runner)
    _print("by hand", found.by_hand.instructions, _requests(found.by_hand))
    _print("arq", found.arq)
    by_hand, supervisor = found.by_hand.instructions, found.supervisor.instructions
    sys.stdout.write(
        f"to the poller by hand {found.ours / by_hand:.2f}, the supervisor alone {supervisor / by_hand:.2f}; "
        f"to arq {found.ours / found.arq:.2f}\n"
    )


def _requests(counted: Counted) -> str:
    sent = ", ".join(f"{share:.2f} {name}" for name, share in counted.requests.items())
    return f"{sum(counted.requests.values()):.2f} requests: {sent}"


def _print(who: str, instructions: float, more: str = "") -> None:
    sys.stdout.write(f"{who:10} {instructions / 1e6:6.2f} M   {more}\n")


if __name__ == "__main__":
    main()
