"""Bytecode of warm requests to the API and to AWS, and of the writes of a job: `python -m bench.bytecode`.

`--record` writes bytecode.json.
Python counts them the same on every machine, however busy it is and whatever its CPU; minor versions of Python differ.
What C code does is not counted: `bench.service_requests` counts that too, but for one kind of CPU.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from bench.api_requests import ROUTES, event
from bench.aws_answers import aws_answers

RECORD = Path(__file__).with_name("bytecode.json")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
CALLS = ("GetItem", "UpdateItem", "SendMessage")
WRITES = "claim and settle"
COUNTED = (*ROUTES, *CALLS, WRITES)
"""The requests to the API's function, by method; those that the worker sends to AWS, by operation; and making the two
writes of a job, with reading their answers."""

WARM_UP = 20
TRIES = 5
"""The least of so many counts: in one of them, something may be done that is done once in a while."""


def main() -> None:
    """Print what is counted as JSON, and record it."""
    parser = argparse.ArgumentParser(prog="python -m bench.bytecode", description=__doc__)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--child", choices=COUNTED)
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(f"{_counted(options.child)}\n")
        return
    counted = measure()
    sys.stdout.write(json.dumps(counted) + "\n")
    if options.record:
        RECORD.write_text(json.dumps({**recorded(), VERSION: counted}, indent=2, sort_keys=True) + "\n")


def recorded() -> Mapping[str, Mapping[str, int]]:
    """Return what was recorded, by version of Python."""
    record: Mapping[str, Mapping[str, int]] = json.loads(RECORD.read_text())
    return record


def measure() -> dict[str, int]:
    """Return the bytecode instructions of each of COUNTED."""
    from bench.service_requests import service_environment  # noqa: PLC0415 - the child needs nothing of it

    child = [sys.executable, "-m", "bench.bytecode", "--child"]
    with service_environment() as env:
        return {name: int(subprocess.check_output([*child, name], env=env, text=True)) for name in COUNTED}  # noqa: S603


def _counted(name: str) -> int:
    if name == WRITES:
        return _of_writes()
    return _of_requests(name) if name in ROUTES else _of_calls(name)


def _of_requests(method: str) -> int:
    handler = importlib.import_module("coatcheck_service.aws_lambda").handler

    def ask() -> None:
        assert handler(event(method), None)["statusCode"] in {200, 202}

    return _of(ask)


def _of_calls(operation: str) -> int:
    from bench import transports  # noqa: PLC0415 - the child of a request needs nothing of it

    with aws_answers(lambda _operation, _asked: {"Item": transports.ROW}) as url:
        transport, call = transports.worker_transport(url), transports.CALLS[operation]
        return _of(lambda: transport.send(call))


def _of_writes() -> int:
    from coatcheck.core.aws.dynamodb import transitions  # noqa: PLC0415 - as above
    from coatcheck.core.aws.dynamodb.codec import encode_job  # noqa: PLC0415
    from coatcheck.core.aws.dynamodb.keys import JobKey  # noqa: PLC0415
    from coatcheck.core.job import JSON, Blob  # noqa: PLC0415
    from coatcheck.core.lifecycle import SUCCEED  # noqa: PLC0415
    from tests.job_rows import make_job  # noqa: PLC0415

    now = 1_800_000_000_000
    job = make_job(now=now, attempt=1)
    key, answer = JobKey(job.tenant, job.id), {"Attributes": encode_job(job)}

    def claim_and_settle() -> None:
        transitions.claim("table", key, now=now, lease=60_000, owner="owner").read(answer)
        transitions.settle("table", job, SUCCEED, now=now, result=Blob.of(b"{}", JSON)).read(answer)

    return _of(claim_and_settle)


def _of(act: Callable[[], object]) -> int:
    for _ in range(WARM_UP):
        act()
    return min(count(act) for _ in range(TRIES))


def count(act: Callable[[], object]) -> int:
    """Return how many bytecode instructions this thread executes to `act`."""
    executed = 0

    def in_frame(_frame: FrameType, what: str, _value: Any) -> Any:
        nonlocal executed
        executed += what == "opcode"
        return in_frame

    def on_call(frame: FrameType, _what: str, _value: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return in_frame

    sys.settrace(on_call)
    try:
        act()
    finally:
        sys.settrace(None)
    return executed


if __name__ == "__main__":
    main()
