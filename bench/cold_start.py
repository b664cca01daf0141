"""Instructions of a fresh process until its first work: `python -m bench.cold_start`. Needs valgrind.

The API's function until it has answered its first look at a job, and its first submit, beside the same written by hand
(`bench.peers.api`). The worker's function until it has read its first message, beside a process that makes clients of
DynamoDB and SQS by boto3. What imports the handlers is a process of its own, and not counted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from bench.callgrind import instructions
from bench.service_requests import HANDLERS, service_environment

_API = """
import importlib, sys
from bench.api_requests import event
assert importlib.import_module(sys.argv[1]).handler(event(sys.argv[2]), None)["statusCode"] in {200, 202}
"""
_WORKER = """
from coatcheck.core.messages import JobMessage
from coatcheck_worker import aws_lambda, lambda_process
lambda_process.dependencies()
JobMessage.parse('{"tenant": "acme", "job": "job_1"}')
"""
_BARE = "import boto3; boto3.client('dynamodb'); boto3.client('sqs')"

STARTS: Mapping[str, tuple[list[str], list[str]]] = {
    f"API to its first {what}": (
        ["-c", _API, HANDLERS["coatcheck"], method],
        ["-c", _API, HANDLERS["by hand"], method],
    )
    for what, method in (("look", "GET"), ("submit", "POST"))
} | {
    "worker to its first message": (["-c", _WORKER], ["-c", _BARE]),
}
"""Ours, and what it stands beside."""


def main() -> None:
    """Print the table."""
    for name in STARTS:
        ours, beside = measure(name)
        sys.stdout.write(f"{name:28} {ours / 1e6:6.0f} M   by hand {beside / 1e6:6.0f} M   {ours / beside:.2f}\n")
        sys.stdout.flush()


def measure(name: str) -> tuple[int, int]:
    """Return the instructions of our process, and of the one beside it."""
    ours, beside = STARTS[name]
    with service_environment() as env:
        # the first writes the .pyc files
        for arguments in (ours, beside):
            subprocess.run([sys.executable, *arguments], env=env, check=True, capture_output=True)  # noqa: S603 - ours
        return instructions(ours, env=env), instructions(beside, env=env)


if __name__ == "__main__":
    main()
